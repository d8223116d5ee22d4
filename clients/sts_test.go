package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// checkSession wants temporary credentials to be those of an assumed role, and good for what the role may.
func (s *goSDK) checkSession(ctx context.Context, c *types.Credentials, arn string) error {
	if c == nil || c.Expiration == nil || time.Until(*c.Expiration) < 14*time.Minute {
		return fmt.Errorf("Credentials = %+v", c)
	}
	as := s.as(static(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
	who, err := sts.NewFromConfig(as).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	if _, err := kms.NewFromConfig(as).ListKeys(ctx, &kms.ListKeysInput{}); err != nil {
		return err
	}
	return same("Arn", *who.Arn, arn)
}

// stsOperations calls every operation of STS that kmsd has.
func stsOperations(t *testing.T, s *goSDK) {
	caller := s.user(t, "sts-caller", allow("sts:AssumeRole"), allow("kms:ListKeys"))
	as := sts.NewFromConfig(s.as(caller.provider()))
	role := s.k.role(t, "sts-role", strings.Replace(trustAccount, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]`, 1))
	must(s.iam.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
		UserName: &caller.name, PolicyName: aws.String("sessions"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:SetSourceIdentity","sts:TagSession"],"Resource":"*"}]}`),
	}))(t)
	i := newIssuer(t)
	federated := s.k.federated(t, i, issuerURL, "sts-federated")
	s.steps(t, []step{
		{"GetCallerIdentity", func(ctx context.Context) error {
			return then(as.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(func(o *sts.GetCallerIdentityOutput) error {
				return errors.Join(same("Account", *o.Account, account), same("Arn", *o.Arn, caller.arn), same("UserId", (*o.UserId)[:4], "AIDA"))
			})
		}},
		{"AssumeRole", func(ctx context.Context) error {
			return then(as.AssumeRole(ctx, &sts.AssumeRoleInput{
				RoleArn: &role, RoleSessionName: aws.String("session"), DurationSeconds: aws.Int32(900), Policy: aws.String(allow("kms:*")), SourceIdentity: aws.String("alice"),
				Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}, TransitiveTagKeys: []string{"a"},
			}))(func(o *sts.AssumeRoleOutput) error {
				arn := "arn:aws:sts::" + account + ":assumed-role/sts-role/session"
				return errors.Join(same("Arn", *o.AssumedRoleUser.Arn, arn), same("SourceIdentity", aws.ToString(o.SourceIdentity), "alice"),
					same("AssumedRoleId", strings.HasSuffix(*o.AssumedRoleUser.AssumedRoleId, ":session"), true), s.checkSession(ctx, o.Credentials, arn))
			})
		}},
		{"AssumeRoleWithWebIdentity", func(ctx context.Context) error {
			anonymous := sts.NewFromConfig(s.as(aws.AnonymousCredentials{}))
			return then(anonymous.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: &federated, RoleSessionName: aws.String("pod"), WebIdentityToken: aws.String(i.token(t, issuerURL, "kmsd", "pod-1")), Policy: aws.String(allow("kms:*")),
			}))(func(o *sts.AssumeRoleWithWebIdentityOutput) error {
				return errors.Join(same("Audience", *o.Audience, "kmsd"), same("SubjectFromWebIdentityToken", *o.SubjectFromWebIdentityToken, "pod-1"),
					s.checkSession(ctx, o.Credentials, "arn:aws:sts::"+account+":assumed-role/sts-federated/pod"))
			})
		}},
		{"GetSessionToken", func(ctx context.Context) error {
			return then(as.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)}))(func(o *sts.GetSessionTokenOutput) error {
				return s.checkSession(ctx, o.Credentials, caller.arn)
			})
		}},
	})
	for _, c := range []struct {
		name string
		is   func(error) bool
		call func(ctx context.Context) error
	}{
		{"InvalidIdentityTokenException", typed[*types.InvalidIdentityTokenException](), func(ctx context.Context) error {
			return done(as.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: &federated, RoleSessionName: aws.String("pod"), WebIdentityToken: aws.String(newIssuer(t).token(t, issuerURL, "kmsd", "pod-1")),
			}))
		}},
		{"MalformedPolicyDocumentException", typed[*types.MalformedPolicyDocumentException](), func(ctx context.Context) error {
			return done(as.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("session"), Policy: aws.String("{")}))
		}},
	} {
		s.run(t, c.name, func(t *testing.T) {
			if err := c.call(t.Context()); !c.is(err) {
				t.Errorf("error %v, want a %s", err, c.name)
			}
		})
	}
}

// credentialProviders uses what programs configure: the SDK then asks STS by itself.
func credentialProviders(t *testing.T, s *goSDK) {
	role := s.k.role(t, "provider-role", trustAccount)
	caller := s.user(t, "provider-caller", allow("sts:AssumeRole"))
	i := newIssuer(t)
	whoami := func(t *testing.T, c aws.Config) string {
		must(kms.NewFromConfig(c).ListKeys(t.Context(), &kms.ListKeysInput{}))(t)
		return *must(sts.NewFromConfig(c).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))(t).Arn
	}
	assumed := func(session string) string {
		return "arn:aws:sts::" + account + ":assumed-role/provider-role/" + session
	}
	s.run(t, "stscreds.AssumeRoleProvider", func(t *testing.T) {
		p := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(s.as(caller.provider())), role, func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "provided" })
		want(t, "Arn", whoami(t, s.as(p)), assumed("provided"))
	})
	s.run(t, "a profile with role_arn and source_profile", func(t *testing.T) {
		s.k.setenv(t)
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			t.Setenv(name, "")
		}
		file := writeFile(t, "config", fmt.Sprintf("[profile caller]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n[profile role]\nrole_arn = %s\nsource_profile = caller\nrole_session_name = profile\n",
			caller.keyID, caller.secret, role))
		t.Setenv("AWS_CONFIG_FILE", file)
		c, err := config.LoadDefaultConfig(t.Context(), config.WithSharedConfigProfile("role"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "Arn", whoami(t, c), assumed("profile"))
	})
	s.run(t, "AWS_WEB_IDENTITY_TOKEN_FILE", func(t *testing.T) {
		s.k.setenv(t)
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			t.Setenv(name, "")
		}
		jwks := writeFile(t, "jwks.json", i.jwks())
		s.k.kmsctl(t, "identity-provider", "update-keys", "arn:aws:iam::"+account+":oidc-provider/issuer.example", "--jwks", jwks)
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", writeFile(t, "token", i.token(t, issuerURL, "kmsd", "pod-2")))
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::"+account+":role/sts-federated")
		t.Setenv("AWS_ROLE_SESSION_NAME", "file")
		c, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "Arn", whoami(t, c), "arn:aws:sts::"+account+":assumed-role/sts-federated/file")
	})
	s.run(t, "the profile that kmsctl config aws writes", func(t *testing.T) {
		t.Setenv("HOME", t.TempDir())
		t.Setenv("AWS_CONFIG_FILE", "")
		s.k.kmsctl(t, "config", "aws", "--endpoint", s.k.endpoint, "--write")
		c, err := config.LoadDefaultConfig(t.Context(), config.WithSharedConfigProfile("kmsd"), config.WithSharedConfigFiles([]string{filepath.Join(os.Getenv("HOME"), ".aws", "config")}))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "Arn", whoami(t, c), "arn:aws:iam::"+account+":root")
	})
}

// writeFile writes a file of the test and returns its path.
func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
