package aws

// The reasons that the front itself gives.
const (
	reasonDryRun           = "DryRunOperationException"
	reasonSerialization    = "SerializationException"
	reasonUnknownOperation = "UnknownOperationException"
	reasonUnsupported      = "UnsupportedOperationException"
	reasonValidation       = "ValidationException"
)

// set is a set of names.
func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
