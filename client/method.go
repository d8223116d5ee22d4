package client

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// reading returns the full names of all methods that change nothing: those of the CryptoService, and those that get, list or describe. They may be
// repeated, and their signatures need no nonce. Whatever is not among them is treated as a change. GetSessionToken is one: it uses up a code.
func reading() []string {
	var names []string
	for _, file := range []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
		organizationsv1.File_kmsd_organizations_v1_organizations_service_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				name := string(service.Methods().Get(j).Name())
				full := fmt.Sprintf("/%s/%s", service.FullName(), name)
				reads := service.Name() == "CryptoService" || strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Describe")
				if reads && full != stsv1.STSService_GetSessionToken_FullMethodName {
					names = append(names, full)
				}
			}
		}
	}
	return names
}
