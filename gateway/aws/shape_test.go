package aws

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// TestEveryRowOfTheTablesApplies: a row, an extra member or a value that is misspelt would silently change nothing.
func TestEveryRowOfTheTablesApplies(t *testing.T) {
	for name, file := range map[string]struct {
		services []protoreflect.ServiceDescriptor
		tables
	}{
		"kms":           {[]protoreflect.ServiceDescriptor{kmsv1.File_kmsd_kms_v1_key_service_proto.Services().Get(0), kmsv1.File_kmsd_kms_v1_crypto_service_proto.Services().Get(0)}, kmsTables()},
		"organizations": {[]protoreflect.ServiceDescriptor{organizationsv1.File_kmsd_organizations_v1_organizations_service_proto.Services().Get(0)}, organizationsTables()},
		"iam":           {[]protoreflect.ServiceDescriptor{iamv1.File_kmsd_iam_v1_iam_service_proto.Services().Get(0)}, iamTables()},
		"sts":           {[]protoreflect.ServiceDescriptor{stsv1.File_kmsd_sts_v1_sts_service_proto.Services().Get(0)}, stsTables()},
	} {
		b := newBuilder(file.tables)
		for _, d := range file.services {
			b.operations(&service{operations: map[string]*operation{}}, d, nil)
		}
		var keys []string
		for key := range b.rows {
			keys = append(keys, key)
		}
		for key := range b.required {
			keys = append(keys, key)
		}
		for key := range b.extras {
			keys = append(keys, key)
		}
		for key := range b.pascal {
			keys = append(keys, key)
		}
		for key := range b.names {
			keys = append(keys, key)
		}
		for key := range b.refused {
			keys = append(keys, key)
		}
		if len(keys) < 10 {
			t.Errorf("%s: the tables have %d rows: the test is broken", name, len(keys))
		}
		slices.Sort(keys)
		for _, key := range keys {
			if !b.used[key] {
				t.Errorf("%s: the row %q applies to nothing", name, key)
			}
		}
	}
}
