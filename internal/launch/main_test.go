package launch

import (
	"os"
	"testing"

	"davit/internal/sys"
)

func TestMain(m *testing.M) { os.Exit(sys.CheckLeaks(m.Run)) }
