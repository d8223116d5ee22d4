package aws

import (
	"maps"
	"slices"
)

// Operations are the names of a service's operations, and of those that AWS has and kmsd has not, for tests through the front door.
func Operations(service string) (has, absent []string) {
	for _, s := range newServices() {
		if s.name == service {
			return slices.Sorted(maps.Keys(s.operations)), slices.Sorted(maps.Keys(s.absent))
		}
	}
	return nil, nil
}
