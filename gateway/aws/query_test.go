package aws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kmsd/kmsd/internal/front"
)

// querySide is an operation of the Query services.
func querySide(t testing.TB, service, name string) *operation {
	t.Helper()
	for _, s := range newServices() {
		if s.name == service {
			if op, ok := s.operations[name]; ok {
				return op
			}
		}
	}
	t.Fatalf("there is no operation %s of %s", name, service)
	return nil
}

func TestQueryDecode(t *testing.T) {
	const arn = "arn:aws:iam::111122223333:policy/p1"
	for _, c := range []struct{ name, service, operation, form, want string }{
		{"a text", "iam", "CreateUser", "UserName=alice", `user_name:"alice"`},
		{"what AWS has not is ignored", "iam", "CreateUser", "UserName=alice&Colour=red&Colour.member.1=x", `user_name:"alice"`},
		{"names are exact", "iam", "GetUser", "userName=alice", ``},
		{"a list of structures", "iam", "TagUser", "UserName=a&Tags.member.1.Key=k&Tags.member.1.Value=v&Tags.member.2.Key=l&Tags.member.2.Value=", `user_name:"a" tags:{key:"k" value:"v"} tags:{key:"l"}`},
		{"lists are sorted by number, not by name, and may have gaps", "iam", "UntagUser", "UserName=a&TagKeys.member.10=c&TagKeys.member.2=b&TagKeys.member.1=a", `user_name:"a" tag_keys:"a" tag_keys:"b" tag_keys:"c"`},
		{"an empty list", "iam", "CreateUser", "UserName=alice&Tags=", `user_name:"alice"`},
		{"lengths are in characters", "iam", "TagUser", "UserName=a&Tags.member.1.Key=" + strings.Repeat("%C3%BC", 128) + "&Tags.member.1.Value=v", `user_name:"a" tags:{key:"` + strings.Repeat("ü", 128) + `" value:"v"}`},
		{"integers", "iam", "ListUsers", "MaxItems=7", `max_items:7`},
		{"integers of 64 bits", "iam", "CreateClientCertificate", "UserName=a&DurationSeconds=7200", `user_name:"a" duration_seconds:7200`},
		{"booleans", "iam", "CreatePolicyVersion", "PolicyArn=" + arn + "&PolicyDocument=%7B%7D&SetAsDefault=true", `policy_arn:"` + arn + `" policy_document:"{}" set_as_default:true`},
		{"booleans that are false", "iam", "ListPolicies", "OnlyAttached=false", ``},
		{"enumerations in PascalCase", "iam", "UpdateAccessKey", "AccessKeyId=AKIAIOSFODNN7EXAMPLE&Status=Inactive", `access_key_id:"AKIAIOSFODNN7EXAMPLE" status:STATUS_TYPE_INACTIVE`},
		{"enumerations that are otherwise", "iam", "ListPolicies", "Scope=AWS", `scope:POLICY_SCOPE_TYPE_AWS`},
		{"enumerations of simulations", "iam", "SimulatePrincipalPolicy", "PolicySourceArn=arn:aws:iam::111122223333:user/a&ActionNames.member.1=kms:Encrypt&ContextEntries.member.1.ContextKeyName=a&ContextEntries.member.1.ContextKeyType=stringList&ContextEntries.member.1.ContextKeyValues.member.1=x", `policy_source_arn:"arn:aws:iam::111122223333:user/a" action_names:"kms:Encrypt" context_entries:{context_key_name:"a" context_key_type:CONTEXT_KEY_TYPE_STRING_LIST context_key_values:"x"}`},
		{"a description that is empty is given", "iam", "UpdateRole", "RoleName=r&Description=", `role_name:"r" description:""`},
		{"a description that is not there is not", "iam", "UpdateRole", "RoleName=r", `role_name:"r"`},
		{"AWS's spelling of names", "iam", "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn=arn:aws:iam::111122223333:oidc-provider/x&ClientID=c", `open_id_connect_provider_arn:"arn:aws:iam::111122223333:oidc-provider/x" client_id:"c"`},
		{"a member without a capital", "sts", "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&PolicyArns.member.1.arn=" + arn, `role_arn:"arn:aws:iam::111122223333:role/r" role_session_name:"s1" policy_arns:{arn:"` + arn + `"}`},
		{"a refused member that is empty asks for nothing", "sts", "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&ProvidedContexts=", `role_arn:"arn:aws:iam::111122223333:role/r" role_session_name:"s1"`},
		{"the size of a page of a list that has no pages", "iam", "ListUserTags", "UserName=a&MaxItems=5", `user_name:"a"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := querySide(t, c.service, c.operation)
			got, want := dynamicpb.NewMessage(op.in.message), dynamicpb.NewMessage(op.in.message)
			if err := prototext.Unmarshal([]byte(c.want), want); err != nil {
				t.Fatal(err)
			}
			if err := op.service.protocol.decode(op, []byte("Action="+op.name+"&Version="+op.service.version+"&"+c.form), got); err != nil {
				t.Fatalf("decoding %s: %v", c.form, err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("decoding %s = %v, want %v", c.form, got, want)
			}
		})
	}
}

func TestQueryDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, service, operation, form, reason, message string }{
		{"a list in a text's place", "iam", "CreateUser", "UserName.member.1=a", reasonSerialization, "Start of list found where not expected"},
		{"a structure in a text's place", "iam", "CreateUser", "UserName.First=a", reasonSerialization, "Start of structure or map found where not expected"},
		{"a text in a list's place", "iam", "UntagUser", "UserName=a&TagKeys=b", reasonSerialization, "Unexpected list element termination"},
		{"a text in a structure's place", "iam", "TagUser", "UserName=a&Tags.member.1=b", reasonSerialization, "Unexpected complex element termination"},
		{"a list in a structure's place", "iam", "TagUser", "UserName=a&Tags.member.1.member.1=b", reasonSerialization, "Start of list found where not expected"},
		{"a list and a value", "iam", "UntagUser", "UserName=a&TagKeys=&TagKeys.member.1=b", reasonSerialization, errFormBoth.Message},
		{"a structure and a value", "iam", "TagUser", "UserName=a&Tags.member.1=&Tags.member.1.Key=b", reasonSerialization, errFormBoth.Message},
		{"a list without member", "iam", "UntagUser", "UserName=a&TagKeys.1=b", reasonSerialization, errFormIndex.Message},
		{"a list with and without member", "iam", "UntagUser", "UserName=a&TagKeys.member.1=b&TagKeys.2=b", reasonSerialization, errFormIndex.Message},
		{"a list without numbers", "iam", "UntagUser", "UserName=a&TagKeys.member=b", reasonSerialization, errFormIndex.Message},
		{"the number 0", "iam", "UntagUser", "UserName=a&TagKeys.member.0=b", reasonSerialization, errFormIndex.Message},
		{"a negative number", "iam", "UntagUser", "UserName=a&TagKeys.member.-1=b", reasonSerialization, errFormIndex.Message},
		{"one number in two spellings", "iam", "UntagUser", "UserName=a&TagKeys.member.1=b&TagKeys.member.01=c", reasonSerialization, errFormIndex.Message},
		{"a huge number", "iam", "UntagUser", "UserName=a&TagKeys.member.99999999999999999999=b", reasonSerialization, errFormIndex.Message},
		{"the same number twice", "iam", "UntagUser", "UserName=a&TagKeys.member.1=b&TagKeys.member.1=c", reasonSerialization, errFormTwice.Message},
		{"no integer", "iam", "ListUsers", "MaxItems=many", reasonSerialization, "STRING_VALUE cannot be converted to Integer"},
		{"an integer of 33 bits", "iam", "ListUsers", "MaxItems=4294967297", reasonSerialization, "STRING_VALUE cannot be converted to Integer"},
		{"an empty integer", "iam", "ListUsers", "MaxItems=", reasonSerialization, "STRING_VALUE cannot be converted to Integer"},
		{"no boolean", "iam", "ListPolicies", "OnlyAttached=1", reasonSerialization, "STRING_VALUE cannot be converted to Boolean"},
		{"an unknown value", "iam", "UpdateAccessKey", "AccessKeyId=AKIAIOSFODNN7EXAMPLE&Status=active", reasonValidation, "1 validation error detected: Value 'active' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"},
		{"what is missing", "iam", "PutUserPolicy", "PolicyName=p1", reasonValidation, "2 validation errors detected: Value null at 'userName' failed to satisfy constraint: Member must not be null; Value null at 'policyDocument' failed to satisfy constraint: Member must not be null"},
		{"what is missing in a list", "iam", "TagUser", "UserName=a&Tags.member.3.Key=k", reasonValidation, "1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"},
		{"an empty name, which would stand for the caller", "iam", "DeleteAccessKey", "UserName=&AccessKeyId=AKIAIOSFODNN7EXAMPLE", reasonValidation, "1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"a character too many", "iam", "TagUser", "UserName=a&Tags.member.1.Value=v&Tags.member.1.Key=" + strings.Repeat("%C3%BC", 129), reasonValidation, "1 validation error detected: Value at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"a character too few, of two bytes", "sts", "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=%C3%BC", reasonValidation, "1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2"},
		{"a page of none", "iam", "ListUsers", "MaxItems=0", reasonValidation, "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"the second page of a list that has one", "iam", "ListUserTags", "UserName=a&Marker=x", reasonUnsupported, "kmsd does not have Marker."},
		{"tags of a policy", "iam", "CreatePolicy", "PolicyName=p&PolicyDocument=x&Tags.member.1.Key=a&Tags.member.1.Value=b", reasonUnsupported, "kmsd does not have Tags."},
		{"thumbprints of an identity provider", "iam", "CreateOpenIDConnectProvider", "Url=https://a.example&ThumbprintList.member.1=aa", reasonUnsupported, "kmsd does not have ThumbprintList."},
		{"a context of AWS's", "sts", "AssumeRole", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&ProvidedContexts.member.1.ContextAssertion=x", reasonUnsupported, "kmsd does not have ProvidedContexts."},
		{"a provider of OAuth 2.0", "sts", "AssumeRoleWithWebIdentity", "RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=s1&WebIdentityToken=abcd&ProviderId=www.amazon.com", reasonUnsupported, "kmsd does not have ProviderId."},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := querySide(t, c.service, c.operation)
			err := op.service.protocol.decode(op, []byte(c.form), dynamicpb.NewMessage(op.in.message))
			var e *front.Error
			if !errors.As(err, &e) {
				t.Fatalf("decoding %s: %v, want %s", c.form, err, c.reason)
			}
			if e.Reason != c.reason || e.Message != c.message {
				t.Errorf("decoding %s:\n got %s: %s\nwant %s: %s", c.form, e.Reason, e.Message, c.reason, c.message)
			}
		})
	}
}

// formOf writes a request as an SDK does.
func formOf(s *shape, m protoreflect.Message, under string, to url.Values) {
	for _, f := range s.ordered {
		if f.field == nil || !f.in || !m.Has(f.field) {
			continue
		}
		v := m.Get(f.field)
		if !f.list {
			formValue(f, v, under+f.name, to)
			continue
		}
		for i := range v.List().Len() {
			formValue(f, v.List().Get(i), under+f.name+".member."+strconv.Itoa(i+1), to)
		}
	}
}

func formValue(f *member, v protoreflect.Value, name string, to url.Values) {
	switch f.kind {
	case kindStructure:
		formOf(f.shape, v.Message(), name+".", to)
	case kindBlob:
		if f.field.Kind() == protoreflect.StringKind {
			v = protoreflect.ValueOfBytes([]byte(v.String()))
		}
		to.Set(name, base64.StdEncoding.EncodeToString(v.Bytes()))
	case kindEnum:
		to.Set(name, f.enum.names[v.Enum()])
	case kindTime:
		to.Set(name, timeOf(v).Format(time.RFC3339Nano))
	default:
		to.Set(name, fmt.Sprint(v.Interface()))
	}
}

// bare takes from s what it asks of requests, so that any message is one.
func bare(s *shape, seen map[*shape]*shape) *shape {
	if b := seen[s]; b != nil || s == nil {
		return b
	}
	b := &shape{message: s.message, members: map[string]*member{}}
	seen[s] = b
	for _, f := range s.ordered {
		if f.field == nil {
			continue
		}
		one := *f
		one.in, one.required, one.bounds, one.shape = true, false, bounds{}, bare(f.shape, seen)
		b.members[one.name] = &one
		b.ordered = append(b.ordered, &one)
	}
	return b
}

// FuzzQuery: whatever a form says, it is decoded or refused with a *front.Error; and what was decoded is what its own form says again.
func FuzzQuery(f *testing.F) {
	var all []*operation
	for _, s := range newServices() {
		if s.version == "" {
			continue
		}
		for _, op := range s.operations {
			all = append(all, op)
		}
	}
	sortOperations(all)
	if len(all) < 80 {
		f.Fatalf("there are %d operations: the test is broken", len(all))
	}
	for i, op := range all {
		f.Add(uint16(i), "Action="+op.name+"&UserName=alice&RoleName=r&Tags.member.1.Key=k&Tags.member.1.Value=v&MaxItems=5")
	}
	f.Add(uint16(0), "Tags.member.2=&Tags=&Tags.member.1.Key=%zz&a.b.c.d=%ff&=&&")
	f.Fuzz(func(t *testing.T, which uint16, form string) {
		op := all[int(which)%len(all)]
		started := time.Now()
		m := dynamicpb.NewMessage(op.in.message)
		err := op.service.protocol.decode(op, []byte(form), m)
		if took := time.Since(started); took > time.Second {
			t.Fatalf("decoding %d bytes took %v", len(form), took)
		}
		queryAction([]byte(form))
		if err != nil {
			var e *front.Error
			if !errors.As(err, &e) || e.Reason == "" || e.Message == "" {
				t.Fatalf("decoding %q: %v, want a *front.Error with a reason and a message", form, err)
			}
			return
		}
		values := url.Values{}
		formOf(op.in, m, "", values)
		again := dynamicpb.NewMessage(op.in.message)
		if err := op.service.protocol.decode(op, []byte(values.Encode()), again); err != nil && strings.Contains(err.Error(), "null") {
			return // a required member that is empty is not in the form that an SDK would write
		} else if err != nil {
			t.Fatalf("decoding %q again: %v", values.Encode(), err)
		}
		if !proto.Equal(m, again) {
			t.Fatalf("decoding %q = %v, and again %v", form, m, again)
		}
	})
}
