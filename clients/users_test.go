package clients

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// user is a user of the account with an access key.
type user struct {
	name, arn, keyID, secret string
	file                     string // credentials for kmsctl; empty if it was not made by kmsctl
}

func (u *user) provider() aws.CredentialsProvider { return static(u.keyID, u.secret, "") }

// user makes a user with inline policies.
func (s *goSDK) user(t testing.TB, name string, policies ...string) *user {
	t.Helper()
	ctx := t.Context()
	made := must(s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))(t)
	for i, p := range policies {
		must(s.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String(fmt.Sprintf("policy%d", i)), PolicyDocument: &p}))(t)
	}
	key := must(s.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name}))(t).AccessKey
	return &user{name: name, arn: *made.User.Arn, keyID: *key.AccessKeyId, secret: *key.SecretAccessKey}
}

// allow is a policy that allows an action on everything.
func allow(action string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`
}

// accessKey makes a user with policies and an access key, by kmsctl.
func (k *kmsd) accessKey(t testing.TB, name string, policies ...string) *user {
	t.Helper()
	k.kmsctl(t, "user", "create", name)
	for i, p := range policies {
		k.kmsctl(t, "user", "put-policy", name, string(rune('a'+i)), writeFile(t, "policy.json", p))
	}
	file := filepath.Join(t.TempDir(), "credentials.yaml")
	k.kmsctl(t, "user", "create-access-key", name, "--out", file)
	cmd := exec.Command(filepath.Join(k.bin, "kmsctl"), "--credentials", file, "config", "aws", "--endpoint", k.endpoint, "--credential-process")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var u struct{ AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal(out, &u); err != nil {
		t.Fatal(err)
	}
	return &user{name: name, arn: "arn:aws:iam::" + account + ":user/" + name, keyID: u.AccessKeyID, secret: u.SecretAccessKey, file: file}
}

// role makes a role, which may list keys and what policies say, by kmsctl, and returns its ARN.
func (k *kmsd) role(t testing.TB, name, trust string, policies ...string) string {
	t.Helper()
	k.kmsctl(t, "role", "create", name, writeFile(t, "trust.json", trust))
	for i, p := range append(policies, allow("kms:ListKeys")) {
		k.kmsctl(t, "role", "put-policy", name, string(rune('a'+i)), writeFile(t, "policy.json", p))
	}
	return "arn:aws:iam::" + account + ":role/" + name
}

// federated makes an identity provider of a URL and a role for what it vouches for, by kmsctl, and returns the role's ARN.
func (k *kmsd) federated(t testing.TB, i *issuer, url, name string) string {
	t.Helper()
	k.kmsctl(t, "identity-provider", "create", url, "--client-id", "kmsd", "--jwks", writeFile(t, "jwks.json", i.jwks()))
	host := strings.TrimPrefix(url, "https://")
	return k.role(t, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+account+`:oidc-provider/`+host+
		`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+host+`:aud":"kmsd"}}}]}`)
}
