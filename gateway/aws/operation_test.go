package aws

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func TestTokensOfRetries(t *testing.T) {
	s := newKMS()
	for name, c := range map[string]struct{ op, given, sent, want string }{
		"that of a call":                   {"CreateKey", "", "5f1c2a9e-0000-4000-8000-000000000001", "5f1c2a9e-0000-4000-8000-000000000001"},
		"the client's own goes before":     {"CreateKey", "mine", "of-the-call", "mine"},
		"none":                             {"CreateKey", "", "", ""},
		"characters that kmsd takes not":   {"CreateKey", "", "a b", ""},
		"too long":                         {"CreateKey", "", strings.Repeat("a", 65), ""},
		"as long as it may be":             {"CreateKey", "", strings.Repeat("a", 64), strings.Repeat("a", 64)},
		"an operation that takes no token": {"Encrypt", "", "of-the-call", ""},
	} {
		op := s.operations[c.op]
		m := newMessage(op.in)
		if k, ok := m.(*kmsv1.CreateKeyRequest); ok {
			k.SetClientToken(c.given)
		}
		op.setToken(m, c.sent)
		got := ""
		if k, ok := m.(*kmsv1.CreateKeyRequest); ok {
			got = k.GetClientToken()
		} else if !proto.Equal(m, newMessage(op.in)) {
			got = m.(fmt.Stringer).String()
		}
		if got != c.want {
			t.Errorf("%s: setToken(%q) beside %q = %q, want %q", name, c.sent, c.given, got, c.want)
		}
	}
}

func TestOperationsThatKmsdHasNot(t *testing.T) {
	s := newKMS()
	for name, want := range map[string]string{
		"Encrypt":               "",
		"ReplicateKey":          "UnsupportedOperationException: kmsd does not have the operation ReplicateKey.",
		"CreateCustomKeyStore":  "UnsupportedOperationException: kmsd does not have the operation CreateCustomKeyStore.",
		"Nonsense":              "UnknownOperationException: ",
		"encrypt":               "UnknownOperationException: ",
		"":                      "UnknownOperationException: ",
		"BatchCrypto":           "UnknownOperationException: ",
		"StreamCrypto":          "UnknownOperationException: ",
		"KeyService/CreateKey":  "UnknownOperationException: ",
		"CreateClientTokenTest": "UnknownOperationException: ",
	} {
		op, err := s.find(name)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || (op == nil) != (want != "") {
			t.Errorf("find(%q) = %v, %q, want %q", name, op, got, want)
		}
	}
}

func TestDryRunsAreErrors(t *testing.T) {
	s := newKMS()
	if st := s.operations["Encrypt"].dry(kmsv1.EncryptResponse_builder{DryRun: true}.Build(), "r"); st == nil || problemOf(st).reason != "DryRunOperationException" || problemOf(st).requestID != "r" {
		t.Errorf("dry of a dry run = %v, want a DryRunOperationException of the request r", st)
	}
	for name, m := range map[string]proto.Message{"Encrypt": &kmsv1.EncryptResponse{}, "DescribeKey": &kmsv1.DescribeKeyResponse{}} {
		if st := s.operations[name].dry(m, "r"); st != nil {
			t.Errorf("dry of an answer of %s = %v, want nil", name, st)
		}
	}
}

// TestMessagesAreBounded: a small body does not become a large message.
func TestMessagesAreBounded(t *testing.T) {
	s := newKMS()
	var body strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&body, `,"%d":""`, i)
	}
	m := &kmsv1.DecryptRequest{}
	err := s.protocol.decode(s.operations["Decrypt"], []byte(`{"GrantTokens":[`+strings.Repeat(`"",`, 5000)+`""],"EncryptionContext":{`+body.String()[1:]+`}}`), m)
	if err == nil || len(m.GetGrantTokens()) > maxEntries || len(m.GetEncryptionContext()) > maxEntries {
		t.Errorf("decode = %v with %d tokens and %d pairs, want an error and %d at most", err, len(m.GetGrantTokens()), len(m.GetEncryptionContext()), maxEntries)
	}
}
