package server_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// listing is one of the lists that come in pages.
type listing struct {
	method  string
	request func(marker string) proto.Message // of two entries
	answer  proto.Message
	entries protoreflect.Name
	id      protoreflect.Name // of an entry
	next    protoreflect.Name
	want    int // entries in all
}

func listings(p *props) []listing {
	return []listing{
		{kmsv1.KeyService_ListKeys_FullMethodName, func(m string) proto.Message { return kmsv1.ListKeysRequest_builder{Limit: 2, Marker: m}.Build() }, &kmsv1.ListKeysResponse{}, "keys", "key_id", "next_marker", 5},
		{kmsv1.KeyService_ListAliases_FullMethodName, func(m string) proto.Message { return kmsv1.ListAliasesRequest_builder{Limit: 2, Marker: m}.Build() }, &kmsv1.ListAliasesResponse{}, "aliases", "alias_name", "next_marker", 7},
		{kmsv1.KeyService_ListAliases_FullMethodName, func(m string) proto.Message {
			return kmsv1.ListAliasesRequest_builder{Limit: 2, Marker: m, KeyId: p.otherID}.Build()
		}, &kmsv1.ListAliasesResponse{}, "aliases", "alias_name", "next_marker", 6},
		{kmsv1.KeyService_ListKeyRotations_FullMethodName, func(m string) proto.Message {
			return kmsv1.ListKeyRotationsRequest_builder{KeyId: p.keyID, Limit: 2, Marker: m}.Build()
		}, &kmsv1.ListKeyRotationsResponse{}, "rotations", "key_material_id", "next_marker", 5},
		{kmsv1.KeyService_ListKeyRotations_FullMethodName, func(m string) proto.Message {
			return kmsv1.ListKeyRotationsRequest_builder{KeyId: p.otherID, Limit: 2, Marker: m}.Build()
		}, &kmsv1.ListKeyRotationsResponse{}, "rotations", "key_material_id", "next_marker", 3},
		{iamv1.IAMService_ListUsers_FullMethodName, func(m string) proto.Message { return iamv1.ListUsersRequest_builder{MaxItems: 2, Marker: m}.Build() }, &iamv1.ListUsersResponse{}, "users", "user_name", "marker", 6},
		{iamv1.IAMService_ListUsers_FullMethodName, func(m string) proto.Message {
			return iamv1.ListUsersRequest_builder{MaxItems: 2, Marker: m, PathPrefix: "/team/"}.Build()
		}, &iamv1.ListUsersResponse{}, "users", "user_name", "marker", 3},
	}
}

// page reads one page of l, as who.
func (l listing) page(t *testing.T, d *door, who client.Credentials, marker string) (ids []string, next string, got answer) {
	t.Helper()
	got = d.ask(who, l.method, l.request(marker))
	out := l.answer.ProtoReflect().New()
	if err := proto.Unmarshal(got.body, out.Interface()); err != nil {
		t.Fatal(err)
	}
	fields := out.Descriptor().Fields()
	list := out.Get(fields.ByName(l.entries)).List()
	for i := range list.Len() {
		e := list.Get(i).Message()
		ids = append(ids, e.Get(e.Descriptor().Fields().ByName(l.id)).String())
	}
	return ids, out.Get(fields.ByName(l.next)).String(), got
}

func aliasOf(d *door, key string) {
	d.t.Helper()
	d.must(kmsv1.KeyService_CreateAlias_FullMethodName, kmsv1.CreateAliasRequest_builder{AliasName: fresh("alias/"), TargetKeyId: key}.Build(), &kmsv1.CreateAliasResponse{})
}

// Lists come whole, in pages, and a marker is good for the list and the caller that it was made for, also after a restart.
func TestMarkers(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	for i := range 4 {
		d.must(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.RotateKeyOnDemandResponse{})
		if i < 3 {
			d.must(iamv1.IAMService_CreateUser_FullMethodName, iamv1.CreateUserRequest_builder{UserName: fmt.Sprint("member", i), Path: "/team/"}.Build(), &iamv1.CreateUserResponse{})
		}
		if i < 2 {
			d.must(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.otherID}.Build(), &kmsv1.RotateKeyOnDemandResponse{})
		}
		aliasOf(d, p.otherID)
	}
	aliasOf(d, p.otherID)
	for range 3 {
		d.Key()
	}
	everything := kmstest.Allow([]string{"kms:*", "iam:*"})
	one, two := d.User("one", everything), d.User("two", everything)
	all := listings(p)
	markers := make([]string, len(all)) // of the second page of each list, for one
	for i, l := range all {
		var ids []string
		for marker, n := "", 0; n == 0 || marker != ""; n++ {
			page, next, got := l.page(t, d, one, marker)
			if got.code != codes.OK || len(page) > 2 || n > 10 {
				t.Fatalf("%s, page %d: %v with %d entries", l.method, n, got, len(page))
			}
			if ids = append(ids, page...); n == 0 {
				markers[i] = next
			}
			marker = next
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(ids))); len(ids) != l.want || len(sorted) != l.want {
			t.Errorf("%s: %d entries in all pages, %d different ones, want %d", l.method, len(ids), len(sorted), l.want)
		}
	}
	bad := func(what string, l listing, who client.Credentials, marker string) {
		_, _, got := l.page(t, d, who, marker)
		refuses(t, short(l.method)+" with "+what, got, codes.InvalidArgument, "InvalidMarkerException", "")
	}
	for i, l := range all {
		bad("another caller's marker", l, two, markers[i])
		for j := range all {
			if i != j {
				bad("a marker of "+short(all[j].method), l, one, markers[j])
			}
		}
		for at := range markers[i] {
			altered := []byte(markers[i])
			if altered[at]++; bytes.IndexByte([]byte("[{:`@"), altered[at]) >= 0 {
				altered[at] = 'A'
			}
			bad(fmt.Sprint("a marker altered at ", at), l, one, string(altered))
			bad(fmt.Sprint("a marker cut at ", at), l, one, markers[i][:max(at, 1)])
		}
		bad("a marker with something behind", l, one, markers[i]+"AAAA")
		bad("a long marker", l, one, strings.Repeat("A", 1025))
		bad("no base64", l, one, "\n")
	}
	d.Restart()
	one.Endpoint = d.Address()
	for i, l := range all {
		if ids, _, got := l.page(t, d, one, markers[i]); got.code != codes.OK || len(ids) == 0 {
			t.Errorf("%s with a marker from before the restart: %v", l.method, got)
		}
	}
}
