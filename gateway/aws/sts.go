package aws

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// newSTS makes the table of AWS STS (API version 2011-06-15).
func newSTS() *service {
	s := &service{
		name: "sts", protocol: &queryProtocol{errors: stsErrors(), internal: "InternalFailure"}, version: "2011-06-15",
		namespace: "https://sts.amazonaws.com/doc/2011-06-15/", operations: map[string]*operation{},
		absent: set("AssumeRoleWithSAML", "AssumeRoot", "DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetDelegatedAccessToken", "GetFederationToken",
			"GetWebIdentityToken"),
	}
	newBuilder(stsTables()).operations(s, stsv1.File_kmsd_sts_v1_sts_service_proto.Services().ByName("STSService"), nil)
	return s
}

func stsTables() tables {
	return tables{
		rows: map[string]row{
			"sts.v1.PolicyDescriptorType.arn": {name: "arn", bounds: bounds{20, 2048}},
			"role_arn":                        {bounds: bounds{20, 2048}},
			"role_session_name":               {bounds: bounds{2, 64}},
			"policy":                          {bounds: bounds{1, 131072}},
			"sts.v1.AssumeRoleWithWebIdentityRequest.policy": {bounds: bounds{1, 2048}},
			"web_identity_token":                             {bounds: bounds{4, 20000}},
			"duration_seconds":                               {bounds: bounds{900, 43200}},
			"sts.v1.GetSessionTokenRequest.duration_seconds": {bounds: bounds{900, 129600}},
			"external_id":                                    {bounds: bounds{2, 1224}},
			"serial_number":                                  {bounds: bounds{9, 256}},
			"token_code":                                     {bounds: bounds{6, 6}},
			"source_identity":                                {bounds: bounds{2, 64}},
			"tags":                                           {bounds: bounds{0, 50}},
			"transitive_tag_keys":                            {bounds: bounds{0, 50}},
			"iam.v1.Tag.key":                                 {bounds: bounds{1, 128}},
		},
		required: map[string][]protoreflect.Name{
			"iam.v1.Tag":                              {"key", "value"},
			"sts.v1.AssumeRoleRequest":                {"role_arn", "role_session_name"},
			"sts.v1.AssumeRoleWithWebIdentityRequest": {"role_arn", "role_session_name", "web_identity_token"},
		},
		extras: map[string][]extra{
			"sts.v1.AssumeRoleRequest":                {{name: "ProvidedContexts", refused: true}},
			"sts.v1.AssumeRoleWithWebIdentityRequest": {{name: "ProviderId", refused: true}},
		},
	}
}
