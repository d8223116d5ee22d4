package clients

import (
	"fmt"
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
