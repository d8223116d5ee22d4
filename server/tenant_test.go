package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// edit returns a copy of a request in which every text is what change makes of it.
func edit(m proto.Message, change func(fd protoreflect.FieldDescriptor, text string) string) proto.Message {
	next := proto.Clone(m)
	editMessage(next.ProtoReflect(), change)
	return next
}

func editMessage(m protoreflect.Message, change func(fd protoreflect.FieldDescriptor, text string) string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
		case fd.IsList() && fd.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(change(fd, v.List().Get(i).String())))
			}
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				editMessage(v.List().Get(i).Message(), change)
			}
		case fd.IsList():
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(change(fd, v.String())))
		case fd.Message() != nil:
			editMessage(v.Message(), change)
		}
		return true
	})
}

// names are the forms of what names something of an account: a fresh name or an access key, the id of a key, of a grant or a certificate, and the ids of the
// organization.
var names = regexp.MustCompile(`[A-Z2-7]{16,26}|[a-z2-7]{16}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|\bou-[0-9a-z]{4,32}-[a-z0-9]{8,32}|\bp-[0-9a-z]{8,}|\br-[0-9a-z]{4,32}\b`)

// twins makes, of what names something, the same of something that does not exist.
type twins struct {
	of   map[string]string
	kept []byte // a ciphertext of the one who asks
}

func (w *twins) twin(name string) string {
	if w.of[name] == "" {
		const letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
		b := []byte(name)
		from := 0
		if i := strings.LastIndexByte(name, '-'); i > 0 && !strings.Contains(name[:i], "-4") && (strings.HasPrefix(name, "ou-") || strings.HasPrefix(name, "p-") || strings.HasPrefix(name, "r-")) {
			from = i + 1
		}
		for i := from; i < len(b); i++ {
			var noise [1]byte
			rand.Read(noise[:])
			n := int(noise[0])
			switch c := b[i]; {
			case c >= '0' && c <= '9' && len(name) != 26:
				if len(name) == 36 && i == 14 { // the version of a UUID
					continue
				}
				b[i] = "23456"[n%5]
			case c >= 'a' && c <= 'f':
				b[i] = letters[n%6]
			case c >= 'a' && c <= 'z':
				b[i] = letters[n%26]
			case c >= 'A' && c <= 'Z':
				b[i] = letters[n%26] - 'a' + 'A'
			}
		}
		w.of[name] = string(b)
	}
	return w.of[name]
}

// absent is a request that is about something which does not exist, and is the same otherwise.
func (w *twins) absent(m proto.Message) proto.Message {
	next := edit(m, func(fd protoreflect.FieldDescriptor, text string) string {
		if slices.Contains(notNames, string(fd.Name())) {
			return text
		}
		return names.ReplaceAllStringFunc(text, w.twin)
	})
	r := next.ProtoReflect()
	if blob := r.Descriptor().Fields().ByName("ciphertext_blob"); blob != nil && len(r.Get(blob).Bytes()) > 18 && !bytes.Equal(r.Get(blob).Bytes(), w.kept) {
		b := bytes.Clone(r.Get(blob).Bytes())
		id := crypto.NewKeyID()
		copy(b[2:], id[:])
		r.Set(blob, protoreflect.ValueOfBytes(b))
	}
	return next
}

// notNames are fields of a request that name nothing which exists already.
var notNames = []string{
	"web_identity_token", "certificate_signing_request", "policy_document", "policy", "assume_role_policy_document", "content", "jwks", "new_user_name", "new_group_name", "new_path",
	"authentication_code1", "authentication_code2", "grant_token",
}

// said is an answer as it would be if it were about what exists.
func (w *twins) said(text string) string {
	for name, twin := range w.of {
		if name == twin {
			continue
		}
		text = strings.ReplaceAll(text, twin, name)
	}
	return text
}

// creates are the RPCs that make something of the caller's own, whose name another account may have too.
func creates(method string) bool {
	name := short(method)
	return strings.HasPrefix(name, "Create") && !slices.Contains([]string{"CreateAlias", "CreateGrant", "CreateAccessKey", "CreateClientCertificate", "CreatePolicyVersion", "CreateOrganizationalUnit"}, name)
}

// strangers are requests of one account about what is another's.
type strangers struct {
	*door
	owner, other *props             // the account that is asked about, and the one that asks
	admin        client.Credentials // who may do everything in the other account
	root         client.Credentials
	management   *props
	rows         map[string]specimen
	made         []string // names of the other's own
	tried        int
}

func newStrangers(t *testing.T) *strangers {
	d := newDoor(t, nil)
	a, b := d.Account("asks"), d.Account("is asked about")
	s := &strangers{door: d, rows: specimensOf(t), management: newProps(d), owner: newPropsIn(d, b), other: newPropsIn(d, a), admin: a.User("admin", kmstest.Allow([]string{"*"})), root: a.Credentials()}
	for _, own := range []string{s.other.keyID, s.other.otherID} {
		s.made = append(s.made, own[strings.LastIndexByte(own, '/')+1:])
	}
	for range 3 { // something for lists of several pages
		s.owner.role()
		s.owner.group()
		s.owner.managed()
		s.owner.grant(s.owner.keyID)
		must[*kmsv1.RotateKeyOnDemandResponse](s.owner)(b.Root().Keys().RotateKeyOnDemand(t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: s.owner.keyID}.Build()))
	}
	return s
}

// ownerOf is the account whose things a method's specimens are about: those of the organization are the management account's.
func (s *strangers) ownerOf(method string) *props {
	if strings.HasPrefix(method, "/kmsd.organizations.") {
		return s.management
	}
	return s.owner
}

// requests are the requests of a method about what is the owner's, by what they name it.
func (s *strangers) requests(t *testing.T, method string) map[string]proto.Message {
	o := s.ownerOf(method)
	m := edit(s.rows[method].valid(o), func(_ protoreflect.FieldDescriptor, text string) string { return o.in(text) })
	all := map[string]proto.Message{"as the owner does": m}
	fields := m.ProtoReflect().Descriptor().Fields()
	for _, name := range []string{"key_id", "target_key_id", "source_key_id", "destination_key_id"} {
		fd := fields.ByName(protoreflect.Name(name))
		if fd == nil || method == kmsv1.KeyService_RetireGrant_FullMethodName {
			continue
		}
		id := o.keyID[strings.LastIndexByte(o.keyID, '/')+1:]
		for what, text := range map[string]string{
			"by id": id, "by ARN": o.keyID, "by alias": usualAlias(o.keyID), "by the ARN of an alias": strings.TrimSuffix(o.keyID, "key/"+id) + usualAlias(o.keyID),
			"by the ARN of an alias of its own account": strings.ReplaceAll(strings.TrimSuffix(o.keyID, "key/"+id)+usualAlias(o.keyID), o.tenant.ID, s.other.tenant.ID),
		} {
			with := proto.Clone(m)
			with.ProtoReflect().Set(fd, protoreflect.ValueOfString(text))
			if blob := fields.ByName("ciphertext_blob"); blob != nil && name == "source_key_id" {
				with.ProtoReflect().Set(fields.ByName("destination_key_id"), protoreflect.ValueOfString(s.other.keyID))
			}
			all[name+" "+what] = with
		}
	}
	for what, with := range s.special(method) {
		all[what] = with
	}
	for what, with := range s.mixed(method, m) {
		all[what] = with
	}
	return all
}

// told are the fields that are no secret between accounts: what a new alias is called, and that a principal exists to whom somebody gives a permission on what
// is his own, since that is given to a unique id.
var told = []string{"CreateAlias.alias_name", "CreateGrant.grantee_principal", "CreateGrant.retiring_principal"}

// mixed are requests of a method about what is the other's own, but for one thing that is the owner's.
func (s *strangers) mixed(method string, owners proto.Message) map[string]proto.Message {
	if s.ownerOf(method) == s.management || creates(method) {
		return nil
	}
	all := map[string]proto.Message{}
	fields := owners.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Kind() != protoreflect.StringKind || fd.IsList() || fd.IsMap() || slices.Contains(notNames, string(fd.Name())) || slices.Contains(told, short(method)+"."+string(fd.Name())) {
			continue
		}
		value := owners.ProtoReflect().Get(fd)
		if name := string(fd.Name()); name == "policy_arn" || name == "permissions_boundary" {
			value = protoreflect.ValueOfString(s.owner.managed()) // the specimens have one of AWS's
		}
		if !names.MatchString(value.String()) {
			continue
		}
		own := edit(s.rows[method].valid(s.other), func(_ protoreflect.FieldDescriptor, text string) string { return s.other.in(text) })
		edit(own, func(_ protoreflect.FieldDescriptor, text string) string {
			s.made = append(s.made, names.FindAllString(text, -1)...)
			return text
		})
		own.ProtoReflect().Set(fd, value)
		all["of its own, with the owner's "+string(fd.Name())] = own
	}
	return all
}

// special are requests that name what is the owner's in other ways than the specimens.
func (s *strangers) special(method string) map[string]proto.Message {
	o, user := s.owner, "arn:aws:iam::"+s.owner.tenant.ID+":user/"+s.owner.userName
	switch method {
	case iamv1.IAMService_SimulateCustomPolicy_FullMethodName:
		return map[string]proto.Message{
			"as a caller of the owner's": iamv1.SimulateCustomPolicyRequest_builder{
				PolicyInputList: []string{kmstest.Allow([]string{"*"})}, ActionNames: []string{"kms:Encrypt"}, ResourceArns: []string{o.keyID}, CallerArn: user,
			}.Build(),
			"of a role of the owner's": iamv1.SimulateCustomPolicyRequest_builder{
				PolicyInputList: []string{kmstest.Allow([]string{"*"})}, ActionNames: []string{"sts:AssumeRole"}, ResourceArns: []string{o.in("arn:aws:iam::111122223333:role/" + o.role())},
			}.Build(),
		}
	case iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName:
		return map[string]proto.Message{"of its own user on the owner's key": iamv1.SimulatePrincipalPolicyRequest_builder{
			PolicySourceArn: "arn:aws:iam::" + s.other.tenant.ID + ":user/admin", ActionNames: []string{"kms:Encrypt", "kms:DescribeKey"}, ResourceArns: []string{o.keyID},
		}.Build()}
	case kmsv1.KeyService_ListGrants_FullMethodName:
		return map[string]proto.Message{"of its own key, of which a user of the owner's is the grantee": kmsv1.ListGrantsRequest_builder{
			KeyId: s.other.keyID, GranteePrincipal: user,
		}.Build()}
	case kmsv1.KeyService_RetireGrant_FullMethodName:
		return map[string]proto.Message{"by key and id": kmsv1.RetireGrantRequest_builder{KeyId: o.keyID, GrantId: o.grant(o.keyID).GetGrantId()}.Build()}
	case stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName:
		// A token of an issuer that the owner has, about somebody whom no role trusts.
		m := o.webIdentity().(*stsv1.AssumeRoleWithWebIdentityRequest)
		m.SetWebIdentityToken(o.issuer.Token(map[string]any{"sub": "somebody", "aud": "kmsd", "exp": 1 << 33, "iat": 1}))
		return map[string]proto.Message{"with a token of somebody else": m}
	}
	return nil
}

// compare makes a request about what is the owner's, and the same about what does not exist: nothing tells the two from each other.
func (s *strangers) compare(t *testing.T, method, what string, as client.Credentials, m proto.Message) {
	t.Helper()
	w := &twins{of: map[string]string{}, kept: s.other.blob}
	for _, own := range s.made {
		w.of[own] = own
	}
	absent := w.absent(m)
	if g := s.revoked(m); g != nil {
		absent = g
	}
	foreign, none := s.ask(as, method, m), s.ask(as, method, absent)
	s.tried++
	name := short(method) + " " + what
	if foreign.code != none.code || foreign.reason != none.reason || foreign.message != w.said(none.message) {
		t.Errorf("%s: %v\nand of what does not exist: %v", name, foreign, none)
	}
	if foreign.code != codes.OK {
		return
	}
	if strings.HasPrefix(short(method), "Simulate") {
		if said := w.said(string(none.body)); said != string(foreign.body) {
			t.Errorf("%s: %q\nand of what does not exist: %q", name, foreign.body, said)
		}
		return
	}
	if id := s.ownerOf(method).account(); bytes.Contains(foreign.body, []byte(id)) && !bytes.Contains(marshal(t, m), []byte(id)) && !slices.Contains(tells, short(method)) {
		t.Errorf("%s: the answer has the account %s: %q", name, id, foreign.body)
	}
	if changes(method) && !creates(method) {
		t.Errorf("%s: %v, want it refused", name, foreign)
	}
}

// tells are the RPCs whose answers may name the account that they are not of: the management account to members, and that in trust policies of the caller's
// own roles.
var tells = []string{"DescribeOrganization", "ListRoles"}

// revoked is a request with the token of a grant that is not there any more, instead of one that is.
func (s *strangers) revoked(m proto.Message) proto.Message {
	r, ok := m.(*kmsv1.RetireGrantRequest)
	if !ok || r.GetGrantToken() == "" {
		return nil
	}
	g := s.owner.grant(s.owner.keyID)
	must[*kmsv1.RevokeGrantResponse](s.owner)(s.owner.Root().Keys().RevokeGrant(s.t.Context(), kmsv1.RevokeGrantRequest_builder{KeyId: s.owner.keyID, GrantId: g.GetGrantId()}.Build()))
	return kmsv1.RetireGrantRequest_builder{GrantToken: g.GetGrantToken()}.Build()
}

// Nobody can tell what another account has from what does not exist, in whatever way it is named and whatever is asked, and nobody changes it.
func TestForeignTenant(t *testing.T) {
	s := newStrangers(t)
	kept := map[string]proto.Message{} // what the owner can still do afterwards
	type asked struct {
		method, what string
		m            proto.Message
	}
	var all []asked
	for _, method := range methods(t) {
		requests := s.requests(t, method)
		kept[method] = requests["as the owner does"]
		if s.rows[method].anonymous {
			delete(requests, "as the owner does") // it is the token's holder's, whoever calls
		}
		for _, what := range sorted(requests) {
			all = append(all, asked{method, what, requests[what]})
		}
	}
	before := s.holdings(kept)
	for _, a := range all {
		s.compare(t, a.method, a.what, s.admin, a.m)
		if !s.rows[a.method].byUser && !creates(a.method) {
			s.compare(t, a.method, a.what+", as a root user", s.root, a.m)
		}
	}
	after := s.holdings(kept)
	for method, have := range before {
		if !bytes.Equal(have, after[method]) {
			t.Errorf("%s of the owner was\n%q and is\n%q", short(method), have, after[method])
		}
	}
	if len(before) < 30 {
		t.Errorf("only %d lists and descriptions were compared", len(before))
	}
	s.markers(t)
	for _, method := range methods(t) {
		if got := s.ask(s.able(method), method, kept[method]); got.code != codes.OK {
			t.Errorf("%s of the owner afterwards: %v", short(method), got)
		}
	}
	t.Logf("%d pairs of requests", s.tried)
}

// able is who may do what a method does with what is the owner's.
func (s *strangers) able(method string) client.Credentials {
	o := s.ownerOf(method)
	switch {
	case s.rows[method].anonymous:
		return client.Credentials{}
	case s.rows[method].byUser:
		return o.User(fresh("able-"), kmstest.Allow([]string{"*"}))
	case o.tenant != nil:
		return o.tenant.Credentials()
	}
	return s.door.root
}

// holdings are what the owner sees of what it has. :: method → answer
func (s *strangers) holdings(kept map[string]proto.Message) map[string][]byte {
	have := map[string][]byte{}
	for method, m := range kept {
		name := short(method)
		if !strings.HasPrefix(name, "Get") && !strings.HasPrefix(name, "List") && !strings.HasPrefix(name, "Describe") || name == "GetSessionToken" || changes(method) || s.ownerOf(method) == s.management {
			continue
		}
		got := s.ask(s.able(method), method, m)
		if got.code != codes.OK {
			s.t.Errorf("%s of the owner: %v", short(method), got)
		}
		have[method] = got.body
	}
	return have
}

// markers: where a page of the owner ends is nothing that another account can go on from.
func (s *strangers) markers(t *testing.T) {
	lists := 0
	for _, method := range methods(t) {
		in := descriptor(t, method).Input().Fields()
		marker, limit := firstOf(in, "marker", "next_token"), firstOf(in, "limit", "max_items", "max_results")
		if marker == nil || limit == nil {
			continue
		}
		owner := edit(s.rows[method].valid(s.ownerOf(method)), func(_ protoreflect.FieldDescriptor, text string) string { return s.ownerOf(method).in(text) })
		owner.ProtoReflect().Set(limit, protoreflect.ValueOfInt32(1))
		got := s.ask(s.able(method), method, owner)
		out := newMessage(t, descriptor(t, method).Output())
		unmarshal(t, got.body, out)
		next := firstOf(out.ProtoReflect().Descriptor().Fields(), "next_marker", "marker", "next_token")
		given := out.ProtoReflect().Get(next).String()
		if given == "" {
			continue
		}
		lists++
		own := owner
		if s.ownerOf(method) != s.management {
			own = edit(s.rows[method].valid(s.other), func(_ protoreflect.FieldDescriptor, text string) string { return s.other.in(text) })
		}
		with := proto.Clone(own)
		with.ProtoReflect().Set(marker, protoreflect.ValueOfString(given))
		foreign := s.ask(s.admin, method, with)
		with.ProtoReflect().Set(marker, protoreflect.ValueOfString(hex.EncodeToString([]byte(rand.Text()))))
		none := s.ask(s.admin, method, with)
		if foreign.code == codes.OK || foreign.code != none.code || foreign.reason != none.reason || foreign.message != none.message {
			t.Errorf("%s with a marker of another account: %v\nand with one of nobody: %v", short(method), foreign, none)
		}
	}
	if lists < 12 {
		t.Errorf("only %d lists had a second page", lists)
	}
	t.Logf("%d lists with a second page", lists)
}

// newMessage makes an empty message of a type.
func newMessage(t testing.TB, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

func firstOf(fields protoreflect.FieldDescriptors, names ...protoreflect.Name) protoreflect.FieldDescriptor {
	for _, name := range names {
		if fd := fields.ByName(name); fd != nil {
			return fd
		}
	}
	return nil
}
