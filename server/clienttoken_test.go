package server_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// tokenCall is a change with a client token, and what was answered.
type tokenCall struct {
	method     string
	m, another proto.Message // the change, and another one
	first      answer
}

func withToken(t testing.TB, m proto.Message, token string) proto.Message {
	t.Helper()
	fd := m.ProtoReflect().Descriptor().Fields().ByName("client_token")
	if fd == nil {
		t.Fatalf("%s has no client token", m.ProtoReflect().Descriptor().FullName())
	}
	m = proto.Clone(m)
	m.ProtoReflect().Set(fd, protoreflect.ValueOfString(token))
	return m
}

// otherwise is a request with other parameters than m, which could succeed too.
func otherwise(p *props, s specimen, m proto.Message) proto.Message {
	next := s.valid(p)
	if !proto.Equal(next, m) {
		return next
	}
	for _, name := range []protoreflect.Name{"key_id", "description"} {
		if fd := next.ProtoReflect().Descriptor().Fields().ByName(name); fd != nil {
			next.ProtoReflect().Set(fd, protoreflect.ValueOfString(p.Key().GetArn()))
			return next
		}
	}
	p.t.Fatalf("%s has nothing that could be changed", m.ProtoReflect().Descriptor().FullName())
	return nil
}

// changed reports whether the store changed during a call.
func changed(t testing.TB, events []audit.Record) bool {
	t.Helper()
	if len(events) != 1 {
		t.Errorf("%d events of one call", len(events))
		return false
	}
	var e struct {
		StateGeneration struct{ Before, After uint64 }
	}
	if err := json.Unmarshal(events[0].Raw, &e); err != nil {
		t.Fatal(err)
	}
	return e.StateGeneration.Before != e.StateGeneration.After
}

// changesAgain makes a call twice more: it may have been kmsd itself that changed something at the same time.
func (d *door) changesAgain(c tokenCall) bool {
	d.t.Helper()
	for range 2 {
		agent := d.agent("once more " + fresh(""))
		d.send(d.t.Context(), call{method: c.method, body: marshal(d.t, c.m), as: d.root, agent: agent})
		if !changed(d.t, d.events()[agent]) {
			return false
		}
	}
	return true
}

// Every change of KeyService is made once for a client token, whatever happens between, for 24 hours, and a token is good for one change.
func TestClientTokensOfEveryChange(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	rows := specimens()
	var all []tokenCall
	for _, method := range methods(t) {
		if !strings.Contains(method, ".KeyService/") || !changes(method) {
			continue
		}
		m := rows[method].valid(p)
		c := tokenCall{method: method, m: withToken(t, m, "token"), another: withToken(t, otherwise(p, rows[method], m), "token")}
		if c.first = d.ask(d.root, method, c.m); c.first.code != codes.OK {
			t.Fatalf("%s: %v", short(method), c.first)
		}
		all = append(all, c)
	}
	if len(all) < 24 {
		t.Errorf("only %d methods change something", len(all))
	}
	repeat := func(when string) {
		t.Helper()
		for _, c := range all {
			got := d.send(t.Context(), call{method: c.method, body: marshal(t, c.m), as: d.root, agent: d.agent(when + c.method)})
			if got.err != nil || got.code != codes.OK || !bytes.Equal(got.body, c.first.body) {
				t.Errorf("%s again %s: %v with %x, want %x", short(c.method), when, got, got.body, c.first.body)
			}
			refuses(t, short(c.method)+" with other parameters "+when, d.ask(d.root, c.method, c.another), codes.InvalidArgument, "IdempotentParameterMismatchException", "")
		}
		events := d.events()
		for _, c := range all {
			if changed(t, events[d.agent(when+c.method)]) && d.changesAgain(c) {
				t.Errorf("%s again %s changes the store", short(c.method), when)
			}
		}
	}
	repeat("at once")
	d.restarted()
	repeat("after a restart")
	clock.Pass(24*time.Hour - time.Minute)
	repeat("within 24 hours")
	clock.Pass(2 * time.Minute)
	for _, c := range all {
		if got := d.ask(d.root, c.method, c.another); got.reason == "IdempotentParameterMismatchException" {
			t.Errorf("%s with other parameters after 24 hours: %v", short(c.method), got)
		}
	}

	// The token is the caller's own, and a dry run neither uses it up nor is a request of its own.
	other := d.User("other", kmstest.Allow([]string{"kms:*"}))
	create := kmsv1.CreateKeyRequest_builder{ClientToken: "dry"}.Build()
	dry := proto.CloneOf(create)
	dry.SetDryRun(true)
	d.must(createKeyMethod, dry, &kmsv1.CreateKeyResponse{})
	var mine, again, others kmsv1.CreateKeyResponse
	d.must(createKeyMethod, create, &mine)
	d.must(createKeyMethod, dry, &kmsv1.CreateKeyResponse{})
	d.must(createKeyMethod, create, &again)
	d.as(other, createKeyMethod, create, &others)
	if id := mine.GetKeyMetadata().GetKeyId(); again.GetKeyMetadata().GetKeyId() != id || others.GetKeyMetadata().GetKeyId() == id {
		t.Errorf("CreateKey made %s, again %s, and for another caller %s", id, again.GetKeyMetadata().GetKeyId(), others.GetKeyMetadata().GetKeyId())
	}
}

// What is gone because of a change is not asked about when the change is repeated: who made it is told so again, and nobody else.
func TestClientTokensOfWhatIsGone(t *testing.T) {
	s := newStage(t)
	p := newProps(s.door)
	retiree := s.User("retiree")
	var made kmsv1.CreateGrantResponse
	s.does("a grant that he may retire", s.door.root, kmsv1.CreateGrantRequest_builder{
		KeyId: p.keyID, GranteePrincipal: home + "user/retiree", Operations: []kmsv1.GrantOperation{kmsv1.GrantOperation_GRANT_OPERATION_RETIRE_GRANT},
	}.Build(), &made)
	retire := kmsv1.RetireGrantRequest_builder{GrantToken: made.GetGrantToken(), ClientToken: "retire"}.Build()
	s.may("retiring a grant", retiree, retire)
	s.may("… again", retiree, retire)
	s.mayNot("… by somebody else", s.User("other"), retire, "")
	s.mayNot("… by a call of its own", retiree, kmsv1.RetireGrantRequest_builder{GrantToken: made.GetGrantToken(), ClientToken: "another"}.Build(), "")

	alias := usualAlias(p.keyID)
	user := s.User("user", kmstest.Allow([]string{"kms:DeleteAlias"}, p.keyID, "arn:aws:kms:local:"+kmstest.Account+":"+alias))
	remove := kmsv1.DeleteAliasRequest_builder{AliasName: alias, ClientToken: "remove"}.Build()
	s.may("deleting an alias of a key", user, remove)
	s.may("… again", user, remove)
	s.does("the alias is made again, of another key", s.door.root, kmsv1.CreateAliasRequest_builder{AliasName: alias, TargetKeyId: p.otherID}.Build(), nil)
	s.mayNot("… again, with the alias of another key", user, remove, "")
}
