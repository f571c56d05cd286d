// Gen writes the C header of the plan's encoding.
package main

import (
	"log"
	"os"

	"davit/plan"
)

func main() {
	if err := os.WriteFile("../nsenter/stage/plan.h", []byte(plan.CHeader()), 0o644); err != nil {
		log.Fatal(err)
	}
}
