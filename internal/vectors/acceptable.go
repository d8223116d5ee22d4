package vectors

import (
	"fmt"
	"path"
	"slices"
)

// pin says what an acceptable vector is here. which is a flag or a tcId in decimal; the first pin that matches counts.
type pin struct {
	files, which string
	want         outcome
	why          string
}

// acceptable is the table of the vectors that an implementation may accept or refuse. Those that are refused because
// what they need is not offered say so in their test.
var acceptable = []pin{
	{"rsa_signature_*", "MissingNull", refused, "RFC 8017 wants a NULL"},
	{"ecdh_*", "CompressedPublic", accepted, "RFC 5480 has it"},
	{"ecdh_*", "UnnamedCurve", refused, "RFC 5480 wants a name"},
	{"ecdh_*", "InvalidAsn", refused, "it is not DER"},
}

// pinned is a pin and how often it was needed.
type pinned struct {
	pin
	used int
}

// pinsOf returns the pins of a file.
func pinsOf(name string) []*pinned {
	var pins []*pinned
	for _, p := range acceptable {
		ok, err := path.Match(p.files, name)
		if err != nil {
			panic("vectors: internal error: pattern is malformed")
		}
		if ok {
			pins = append(pins, &pinned{pin: p})
		}
	}
	return pins
}

func match(pins []*pinned, v *Test) *pinned {
	for _, p := range pins {
		if p.which == fmt.Sprint(v.ID) || slices.Contains(v.Flags, p.which) {
			return p
		}
	}
	return nil
}
