package aws

import (
	"slices"
	"strings"
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

// TestTablesSayTheSameInBothProtocols: what a row says of presence and of presets does not depend on how messages look on the wire.
func TestTablesSayTheSameInBothProtocols(t *testing.T) {
	for name, p := range map[string]protocol{"JSON": &jsonProtocol{}, "Query": &queryProtocol{}} {
		s := &service{operations: map[string]*operation{}, protocol: p}
		newBuilder(tables{rows: map[string]row{
			"iam.v1.AccessKeyMetadata.status":        {only: "user_name"},
			"iam.v1.AccessKeyMetadata.access_key_id": {only: "status=INACTIVE"},
			"iam.v1.ListPoliciesRequest.scope":       {preset: "AWS"},
		}, names: iamTables().names, pascal: iamTables().pascal}).operations(s, iamv1.File_kmsd_iam_v1_iam_service_proto.Services().Get(0), nil)

		one := iamv1.AccessKeyMetadata_builder{AccessKeyId: "AKIA", Status: iamv1.StatusType_STATUS_TYPE_ACTIVE}.Build()
		answer := string(p.encode(s.operations["ListAccessKeys"], iamv1.ListAccessKeysResponse_builder{AccessKeyMetadata: []*iamv1.AccessKeyMetadata{one}}.Build(), "id"))
		for _, silent := range []string{"AKIA", "Active"} {
			if strings.Contains(answer, silent) {
				t.Errorf("%s: the answer has %s, whose condition does not hold: %s", name, silent, answer)
			}
		}
		one.SetUserName("alice")
		one.SetStatus(iamv1.StatusType_STATUS_TYPE_INACTIVE)
		answer = string(p.encode(s.operations["ListAccessKeys"], iamv1.ListAccessKeysResponse_builder{AccessKeyMetadata: []*iamv1.AccessKeyMetadata{one}}.Build(), "id"))
		for _, told := range []string{"AKIA", "Inactive"} {
			if !strings.Contains(answer, told) {
				t.Errorf("%s: the answer lacks %s, whose condition holds: %s", name, told, answer)
			}
		}
		request := &iamv1.ListPoliciesRequest{}
		if err := p.decode(s.operations["ListPolicies"], nil, request); err != nil || request.GetScope() != iamv1.PolicyScopeType_POLICY_SCOPE_TYPE_AWS {
			t.Errorf("%s: a request without the member = %v, %v, want the preset scope", name, request, err)
		}
	}
}
