package clients

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// goSDK is aws-sdk-go-v2 as a program uses it that takes its configuration from the environment, with a transport that records the answers.
type goSDK struct {
	*client
	k        *kmsd
	recorder *recorder
	config   aws.Config
	kms      *kms.Client
	iam      *iam.Client
	sts      *sts.Client
	orgs     *organizations.Client
}

// TestGoSDK runs the SDK for Go. What comes last looks at what the cases before have seen.
func TestGoSDK(t *testing.T) {
	s := newGoSDK(t, server(t))
	for _, part := range []struct {
		name string
		test func(*testing.T, *goSDK)
	}{
		{"kms", kmsOperations},
		{"kms has every specification", kmsSpecifications},
		{"kms pages", kmsPages},
		{"kms errors", kmsErrors},
		{"kms retries", kmsRetries},
		{"organizations", organizationsOperations},
		{"iam", iamOperations},
		{"sts", stsOperations},
		{"credential providers", credentialProviders},
		{"every operation", everyOperation},
		{"every member of answers", answersMembers},
		{"every member of requests", requestsMembers},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, s) })
	}
}

func newGoSDK(t *testing.T, k *kmsd) *goSDK {
	t.Helper()
	h, err := k.httpClient()
	if err != nil {
		t.Fatal(err)
	}
	s := &goSDK{client: newClient(t, "aws-sdk-go-v2: kms, iam, sts, organizations", versionOf(kms.NewFromConfig)), k: k}
	s.recorder = newRecorder(h.Transport)
	k.setenv(t)
	t.Setenv("AWS_CA_BUNDLE", "") // the transport has it already
	s.config = loadConfig(t, config.WithHTTPClient(&http.Client{Transport: s.recorder, Timeout: 30 * time.Second}))
	s.kms, s.iam, s.sts, s.orgs = kms.NewFromConfig(s.config), iam.NewFromConfig(s.config), sts.NewFromConfig(s.config), organizations.NewFromConfig(s.config)
	return s
}

// loadConfig is the SDK's default configuration.
func loadConfig(t *testing.T, options ...func(*config.LoadOptions) error) aws.Config {
	t.Helper()
	c, err := config.LoadDefaultConfig(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// as is a configuration with other credentials.
func (s *goSDK) as(provider aws.CredentialsProvider) aws.Config {
	c := s.config.Copy()
	c.Credentials = aws.NewCredentialsCache(provider)
	return c
}

// static are credentials that are known.
func static(keyID, secret, token string) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(keyID, secret, token)
}

// must is the answer of a call that has to succeed.
func must[T any](answer T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// code is the name of an error of AWS, "" if it is none.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// wantCode wants err to be the error of AWS of this name.
func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: error %q (%v), want %s", what, got, err, want)
	}
}
