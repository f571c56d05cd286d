//go:build davit_test

package host

import (
	"os"
	"strings"
)

// switchedOff are the features that the environment variable DAVIT_TEST_WITHOUT
// names (see Facts.Without). A name that is none ends the program, lest a test
// proves nothing.
func switchedOff() FeatureSet {
	var s FeatureSet
	for name := range strings.SplitSeq(os.Getenv("DAVIT_TEST_WITHOUT"), ",") {
		known := name == ""
		for _, f := range Features() {
			if f.Call == name {
				s |= Set(f)
				known = true
			}
		}
		if !known {
			panic("DAVIT_TEST_WITHOUT: there is no feature " + name)
		}
	}
	return s
}
