package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The methods that these tests call most.
const (
	encryptMethod = kmsv1.CryptoService_Encrypt_FullMethodName
	decryptMethod = kmsv1.CryptoService_Decrypt_FullMethodName
)

// ask makes a signed call.
func (d *door) ask(as client.Credentials, method string, m proto.Message) answer {
	d.t.Helper()
	got := d.send(d.t.Context(), call{method: method, body: marshal(d.t, m), as: as, agent: d.agent(short(method))})
	if got.err != nil {
		d.t.Fatalf("%s: %v", short(method), got.err)
	}
	return got
}

// Stop stops kmsd, which would wait for connections on which nobody asks anything.
func (d *door) Stop() {
	d.t.Helper()
	d.http.CloseIdleConnections()
	d.KMS.Stop()
}

// Restart stops kmsd and starts it again.
func (d *door) Restart() {
	d.t.Helper()
	d.Stop()
	d.Start()
}

// must makes a call as root that succeeds, and reads its answer into out.
func (d *door) must(method string, m, out proto.Message) {
	d.t.Helper()
	got := d.ask(d.root, method, m)
	if got.code != codes.OK {
		d.t.Fatalf("%s: %v", short(method), got)
	}
	if err := proto.Unmarshal(got.body, out); err != nil {
		d.t.Fatal(err)
	}
}

// refuses checks how a call failed. message is part of what it must say.
func refuses(t *testing.T, what string, got answer, code codes.Code, reason, message string) {
	t.Helper()
	if got.code != code || got.reason != reason || !strings.Contains(got.message, message) {
		t.Errorf("%s: %v, want %v %s with %q", what, got, code, reason, message)
	}
}

func (d *door) decrypt(blob []byte, ec map[string]string) answer {
	d.t.Helper()
	return d.ask(d.root, decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: blob, EncryptionContext: ec}.Build())
}

func plaintextOf(t *testing.T, got answer) string {
	t.Helper()
	var out kmsv1.DecryptResponse
	if err := proto.Unmarshal(got.body, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.GetPlaintext())
}

// anonymousStatus is a status without its request id, as bytes.

func anonymousStatus(t *testing.T, a answer) string {
	t.Helper()
	s := proto.CloneOf(a.status)
	s.Details = slices.DeleteFunc(s.GetDetails(), func(d *anypb.Any) bool { return d.MessageIs(&errdetails.RequestInfo{}) })
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(a.code, a.message, b)
}
