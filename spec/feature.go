package spec

// FeatureSet is a set of features.
type FeatureSet uint32

// Feature is something that not every kernel has.
type Feature struct {
	id    uint8
	Name  string  // as the kernel calls it
	Since Version // the first kernel that has it
}

const featureCount = 1
