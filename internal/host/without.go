//go:build !davit_test

package host

// switchedOff are the features that Host denies: none (see Facts.Without).
func switchedOff() FeatureSet { return 0 }
