package clients

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// typed makes the check that an error is of one of the SDK's types.
func typed[E error]() func(error) bool {
	return func(err error) bool {
		var e E
		return errors.As(err, &e)
	}
}

// errorCase is a request that ends with an error of a type of the SDK.
type errorCase struct {
	name string // of the type
	is   func(error) bool
	says string // in the message
	call func(t *testing.T, s *goSDK) error
}

const noKey = "00000000-0000-4000-8000-000000000000"

// kmsErrorCases has every error type of the SDK that kmsd can give. Those that need a fault or another time are in kmsFaultCases.
var kmsErrorCases = []errorCase{
	{"AlreadyExistsException", typed[*types.AlreadyExistsException](), "alias/clients/twice", func(t *testing.T, s *goSDK) error {
		in := &kms.CreateAliasInput{AliasName: aws.String("alias/clients/twice"), TargetKeyId: s.createKey(t, nil).KeyId}
		must(s.kms.CreateAlias(t.Context(), in))(t)
		_, err := s.kms.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: in.AliasName, TargetKeyId: s.createKey(t, nil).KeyId})
		return err
	}},
	{"DisabledException", typed[*types.DisabledException](), "is disabled.", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, nil)
		must(s.kms.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key.KeyId}))(t)
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
		return err
	}},
	{"DryRunOperationException", typed[*types.DryRunOperationException](), "The request would have succeeded, but the DryRun option is set.", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: s.createKey(t, nil).KeyId, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
		return err
	}},
	{"IncorrectKeyException", typed[*types.IncorrectKeyException](), "does not identify a CMK that can perform this operation", func(t *testing.T, s *goSDK) error {
		sealed := must(s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: s.createKey(t, nil).KeyId, Plaintext: []byte("x")}))(t)
		_, err := s.kms.Decrypt(t.Context(), &kms.DecryptInput{KeyId: s.createKey(t, nil).KeyId, CiphertextBlob: sealed.CiphertextBlob})
		return err
	}},
	{"IncorrectKeyMaterialException", typed[*types.IncorrectKeyMaterialException](), "", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, external)
		must(s.importMaterial(t, key.KeyId, bytes.Repeat([]byte{1}, 32), nil))(t)
		must(s.kms.DeleteImportedKeyMaterial(t.Context(), &kms.DeleteImportedKeyMaterialInput{KeyId: key.KeyId}))(t)
		_, err := s.importMaterial(t, key.KeyId, bytes.Repeat([]byte{2}, 32), nil)
		return err
	}},
	{"InvalidAliasNameException", typed[*types.InvalidAliasNameException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/aws/clients"), TargetKeyId: s.createKey(t, nil).KeyId})
		return err
	}},
	{"InvalidArnException", typed[*types.InvalidArnException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.CreateGrant(t.Context(), &kms.CreateGrantInput{
			KeyId: s.createKey(t, nil).KeyId, GranteePrincipal: aws.String("arn:aws:iam::" + account + ":user/nobody at all"), Operations: []types.GrantOperation{"Encrypt"},
		})
		return err
	}},
	{"InvalidCiphertextException", typed[*types.InvalidCiphertextException](), "", func(t *testing.T, s *goSDK) error {
		sealed := must(s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: s.createKey(t, nil).KeyId, Plaintext: []byte("x")}))(t)
		_, err := s.kms.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"a": "1"}})
		return err
	}},
	{"InvalidGrantIdException", typed[*types.InvalidGrantIdException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: s.createKey(t, nil).KeyId, GrantId: aws.String("not a grant")})
		return err
	}},
	{"InvalidGrantTokenException", typed[*types.InvalidGrantTokenException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: s.createKey(t, nil).KeyId, Plaintext: []byte("x"), GrantTokens: []string{"not a token"}})
		return err
	}},
	{"InvalidImportTokenException", typed[*types.InvalidImportTokenException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.importMaterial(t, s.createKey(t, external).KeyId, make([]byte, 32), func(in *kms.ImportKeyMaterialInput) { in.ImportToken = []byte("not a token") })
		return err
	}},
	{"InvalidKeyUsageException", typed[*types.InvalidKeyUsageException](), "key usage is SIGN_VERIFY which is not valid for Encrypt.", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, specified(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify))
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
		return err
	}},
	{"InvalidMarkerException", typed[*types.InvalidMarkerException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.ListKeys(t.Context(), &kms.ListKeysInput{Marker: aws.String("bm90IGEgbWFya2Vy")})
		return err
	}},
	{"KMSInvalidMacException", typed[*types.KMSInvalidMacException](), "", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, specified(types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac))
		_, err := s.kms.VerifyMac(t.Context(), &kms.VerifyMacInput{KeyId: key.KeyId, Message: []byte("m"), Mac: make([]byte, 32), MacAlgorithm: types.MacAlgorithmSpecHmacSha256})
		return err
	}},
	{"KMSInvalidSignatureException", typed[*types.KMSInvalidSignatureException](), "", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, specified(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify))
		signed := must(s.kms.Sign(t.Context(), &kms.SignInput{KeyId: key.KeyId, Message: []byte("m"), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256}))(t)
		_, err := s.kms.Verify(t.Context(), &kms.VerifyInput{
			KeyId: key.KeyId, Message: []byte("another"), Signature: signed.Signature, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
		})
		return err
	}},
	{"KMSInvalidStateException", typed[*types.KMSInvalidStateException](), "is pending deletion.", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, nil)
		must(s.kms.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId}))(t)
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
		return err
	}},
	{"LimitExceededException", typed[*types.LimitExceededException](), "", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, nil)
		for range 25 {
			must(s.kms.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key.KeyId}))(t)
		}
		_, err := s.kms.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key.KeyId})
		return err
	}},
	{"MalformedPolicyDocumentException", typed[*types.MalformedPolicyDocumentException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: s.createKey(t, nil).KeyId, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{}]}`)})
		return err
	}},
	{"NotFoundException", typed[*types.NotFoundException](), "Key 'arn:aws:kms:" + region + ":" + account + ":key/" + noKey + "' does not exist", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(noKey)})
		return err
	}},
	{"TagException", typed[*types.TagException](), "", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.TagResource(t.Context(), &kms.TagResourceInput{
			KeyId: s.createKey(t, nil).KeyId, Tags: []types.Tag{{TagKey: aws.String("aws:reserved"), TagValue: aws.String("x")}},
		})
		return err
	}},
	{"UnsupportedOperationException", typed[*types.UnsupportedOperationException](), "origin is EXTERNAL which is not valid for this operation.", func(t *testing.T, s *goSDK) error {
		key := s.createKey(t, external)
		_, err := s.kms.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key.KeyId})
		return err
	}},
}

// untypedErrors are those that AWS answers and its model, and so the SDK, has no types for.
var untypedErrors = []struct {
	name, says string
	call       func(t *testing.T, s *goSDK) error
}{
	{"AccessDeniedException", "is not authorized to perform: kms:ListKeys", func(t *testing.T, s *goSDK) error {
		_, err := kms.NewFromConfig(s.as(s.user(t, "nothing-allowed").provider())).ListKeys(t.Context(), &kms.ListKeysInput{})
		return err
	}},
	{"ValidationException", "failed to satisfy constraint", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1025)})
		return err
	}},
	{"ValidationException", "at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096", func(t *testing.T, s *goSDK) error {
		_, err := s.kms.Encrypt(t.Context(), &kms.EncryptInput{KeyId: s.createKey(t, nil).KeyId, Plaintext: make([]byte, 4097)})
		return err
	}},
	{"InvalidSignatureException", "The request signature we calculated does not match", func(t *testing.T, s *goSDK) error {
		_, err := kms.NewFromConfig(s.as(static(s.k.keyID, "wrong", ""))).ListKeys(t.Context(), &kms.ListKeysInput{})
		return err
	}},
	{"UnrecognizedClientException", "The security token included in the request is invalid", func(t *testing.T, s *goSDK) error {
		_, err := kms.NewFromConfig(s.as(static("AKIAIOSFODNN7EXAMPLE", "wrong", ""))).ListKeys(t.Context(), &kms.ListKeysInput{})
		return err
	}},
	{"InvalidSignatureException", "Credential should be scoped to a valid region", func(t *testing.T, s *goSDK) error {
		_, err := kms.NewFromConfig(s.config, func(o *kms.Options) { o.Region = "us-west-2" }).ListKeys(t.Context(), &kms.ListKeysInput{})
		return err
	}},
}

// impossible are the error types of the SDK that kmsd never gives, and why.
var impossible = []struct{ prefix, because string }{
	{"CloudHsm", "there are no custom key stores"},
	{"CustomKeyStore", "there are no custom key stores"},
	{"IncorrectTrustAnchorException", "there are no custom key stores"},
	{"Xks", "there are no custom key stores"},
	{"KeyUnavailableException", "keys are in memory as long as kmsd answers at all"},
	{"DependencyTimeoutException", "there is nothing that kmsd waits for; its answer to a client that has given up does not arrive"},
}

// kmsErrors wants each error type of the SDK that kmsd can give.
func kmsErrors(t *testing.T, s *goSDK) {
	tested := map[string]bool{}
	for _, c := range kmsErrorCases {
		tested[c.name] = true
		s.run(t, c.name, func(t *testing.T) { checkTyped(t, c, c.call(t, s)) })
	}
	s.faults(t, tested)
	for i, c := range untypedErrors {
		s.run(t, fmt.Sprintf("%s, untyped, %d", c.name, i), func(t *testing.T) {
			err := c.call(t, s)
			wantCode(t, "the call", err, c.name)
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
	s.run(t, "no error type of the SDK is left out", func(t *testing.T) {
		for _, name := range errorTypes(t) {
			if because := whyImpossible(name); (because != "") == tested[name] {
				t.Errorf("%s: tested is %v, and impossible because %q: want one of both", name, tested[name], because)
			}
		}
	})
}

func checkTyped(t *testing.T, c errorCase, err error) {
	t.Helper()
	if !c.is(err) {
		t.Fatalf("error %T %q, want a %s", errors.Unwrap(err), err, c.name)
	}
	wantCode(t, "the call", err, c.name)
	var e smithy.APIError
	if errors.As(err, &e); !strings.Contains(e.ErrorMessage(), c.says) {
		t.Errorf("message %q does not say %q", e.ErrorMessage(), c.says)
	}
}

func whyImpossible(name string) string {
	for _, i := range impossible {
		if strings.HasPrefix(name, i.prefix) {
			return i.because
		}
	}
	return ""
}

// errorTypes are the names of the error types of the SDK, as its source has them.
func errorTypes(t *testing.T) []string {
	t.Helper()
	file := sourceOf((*types.NotFoundException).Error)
	if filepath.Base(file) != "errors.go" {
		t.Fatalf("the SDK's error types are in %q, want errors.go: was this test built with -trimpath?", file)
	}
	source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range source.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			for _, spec := range g.Specs {
				names = append(names, spec.(*ast.TypeSpec).Name.Name)
			}
		}
	}
	if len(names) < 48 {
		t.Fatalf("found %d error types, want 48 or more", len(names))
	}
	return names
}
