package server_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// toldOnce are the RPCs whose specimen's answer has a secret, which a repetition is not told.
var toldOnce = map[string]bool{"CreateAccessKey": true, "CreateVirtualMFADevice": true, "CreateAccount": true}

// Every RPC that changes something takes a client token: with it, a repetition changes nothing and answers the same, for as long as it is known who asks
// and for what; what else is asked for under the token is refused.
func TestChangesAreMadeOncePerClientToken(t *testing.T) {
	d := newDoor(t, nil)
	p, rows := newProps(d), specimensOf(t)
	everybody := d.User("everybody", kmstest.Allow([]string{"*"}))
	spans := map[string]span{}
	for _, method := range methods(t) {
		if !changes(method) {
			continue
		}
		fd := descriptor(t, method).Input().Fields().ByName("client_token")
		if fd == nil {
			t.Errorf("%s takes no client token", method)
			continue
		}
		if strings.HasPrefix(method, "/kmsd.kms.") {
			continue // of these TestClientTokensOfEveryChange is
		}
		as := d.root
		if rows[method].byUser {
			as = everybody
		}
		under := func(m proto.Message, token string) proto.Message {
			next := proto.Clone(m)
			next.ProtoReflect().Set(fd, protoreflect.ValueOfString(token))
			return next
		}
		token := fresh("token-")
		first := under(rows[method].valid(p), token)
		made := d.ask(as, method, first)
		if made.code != codes.OK {
			t.Errorf("%s: %v", method, made)
			continue
		}
		from := time.Now()
		repeated(t, d, as, method, first, made)
		spans[method] = span{from, time.Now()}
		refuses(t, "something else under the token of "+short(method), d.ask(as, method, under(rows[method].valid(p), token)),
			codes.InvalidArgument, "IdempotentParameterMismatchException", "other parameters")
		refuses(t, "a token that is none of "+short(method), d.ask(as, method, under(first, "a b")), codes.InvalidArgument, "ValidationException", "A-Z a-z 0-9 _ -")
	}
	d.changedNothing(spans)
	if len(spans) < 60 {
		t.Errorf("only %d methods are tested", len(spans))
	}
	t.Logf("%d methods", len(spans))
}

// span is when a method's request was repeated.
type span struct{ from, to time.Time }

// changedNothing checks that the store stayed at its generation in each span.
func (d *door) changedNothing(spans map[string]span) {
	d.t.Helper()
	events := d.Events(audit.Filter{})
	for method, s := range spans {
		n := 0
		for _, r := range events {
			if r.Time.Before(s.from) || !r.Time.Before(s.to) {
				continue
			}
			n++
			var e struct {
				StateGeneration struct{ Before, After uint64 }
			}
			if err := json.Unmarshal(r.Raw, &e); err != nil {
				d.t.Fatal(err)
			}
			if e.StateGeneration.Before != e.StateGeneration.After {
				d.t.Errorf("repeating %s took the store from generation %d to %d", method, e.StateGeneration.Before, e.StateGeneration.After)
			}
		}
		if n != 2 {
			d.t.Errorf("%d events of two repetitions of %s", n, method)
		}
	}
}

// repeated repeats a request, and checks that the answer is the same, or that it says that the secret in it is told once.
func repeated(t *testing.T, d *door, as client.Credentials, method string, request proto.Message, made answer) {
	t.Helper()
	for range 2 {
		again := d.ask(as, method, request)
		if toldOnce[short(method)] {
			refuses(t, "repeating "+short(method), again, codes.FailedPrecondition, "EntityAlreadyExistsException", "delete it and make another")
			continue
		}
		one, two := newMessage(t, descriptor(t, method).Output()), newMessage(t, descriptor(t, method).Output())
		unmarshal(t, made.body, one)
		if again.code != codes.OK {
			t.Errorf("repeating %s: %v", method, again)
			return
		}
		if unmarshal(t, again.body, two); !proto.Equal(one, two) {
			t.Errorf("repeating %s answers %v, want %v", method, two, one)
		}
	}
}

// A repetition is told nothing that the first request made, if that is a secret; what it is told lets one clean up.
func TestSecretsAreToldOnce(t *testing.T) {
	s := newStage(t)
	user := iamv1.CreateUserRequest_builder{UserName: "worker", ClientToken: "t"}.Build()
	s.does("a user", s.door.root, user, nil)
	request := iamv1.CreateAccessKeyRequest_builder{UserName: "worker", ClientToken: "t"}.Build()
	var made iamv1.CreateAccessKeyResponse
	s.does("an access key", s.door.root, request, &made)
	key := made.GetAccessKey()
	got := s.try(s.door.root, request)
	if got.code != codes.FailedPrecondition || !strings.Contains(got.message, key.GetAccessKeyId()) || strings.Contains(got.message, key.GetSecretAccessKey()) {
		t.Errorf("a repetition: %v, want it refused with the id %s and without the secret", got, key.GetAccessKeyId())
	}
	var list iamv1.ListAccessKeysResponse
	s.does("the list", s.door.root, iamv1.ListAccessKeysRequest_builder{UserName: "worker"}.Build(), &list)
	if len(list.GetAccessKeyMetadata()) != 1 {
		t.Errorf("the user has %d access keys, want one", len(list.GetAccessKeyMetadata()))
	}

	account := organizationsv1.CreateAccountRequest_builder{AccountName: "tenant", CreateRootAccessKey: true, ClientToken: "t"}.Build()
	var tenant organizationsv1.CreateAccountResponse
	s.does("an account", s.door.root, account, &tenant)
	s.refused("the account again", s.door.root, account, "EntityAlreadyExistsException", tenant.GetRootAccessKey().GetAccessKeyId()+" of the root user of account "+tenant.GetAccount().GetId())
	bare := organizationsv1.CreateAccountRequest_builder{AccountName: "tenant", ClientToken: "bare"}.Build()
	var one, two organizationsv1.CreateAccountResponse
	s.does("an account without an access key", s.door.root, bare, &one)
	if s.does("it again", s.door.root, bare, &two); !proto.Equal(&one, &two) || one.GetAccount().GetId() == tenant.GetAccount().GetId() {
		t.Errorf("an account without an access key is answered %v, and again %v", &one, &two)
	}
	s.refused("a user of that name under another token", s.door.root, iamv1.CreateUserRequest_builder{UserName: "worker", ClientToken: "u"}.Build(), "EntityAlreadyExistsException", "")
	s.does("the first user again, whoever has come since", s.door.root, user, nil)
}
