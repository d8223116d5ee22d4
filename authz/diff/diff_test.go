package diff

import (
	"encoding/json"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

func wrap(statements string) string { return `{"Version":"2012-10-17","Statement":[` + statements + `]}` }

func TestTry(t *testing.T) {
	for _, e := range []struct {
		kind     authz.PolicyKind
		old, new string
	}{
		{authz.IdentityPolicy, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/a*"}`, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*"}`},
		{authz.IdentityPolicy, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, `{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/16","10.1.0.0/16"]}}}`},
		{authz.KeyPolicy, `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}`, `{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::444455556666:role/x"]},"Action":"kms:*","Resource":"*"}`},
		{authz.ServiceControlPolicy, `{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":"eu-central-1"}}}`, `{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-central-1","us-east-1"]}}}`},
	} {
		r, err := Compare(e.kind, []byte(wrap(e.old)), []byte(wrap(e.new)), Options{})
		b, _ := json.MarshalIndent(r, "", " ")
		t.Log(err, string(b))
	}
}
