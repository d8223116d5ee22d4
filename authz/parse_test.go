package authz_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// identityWith is an identity policy whose statement has the members besides a valid Effect, Action and Resource.
func identityWith(members string) string {
	return `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"` + members + `}}`
}

func action(value string) string {
	return `{"Statement":{"Effect":"Deny","Action":` + value + `,"Resource":"*"}}`
}

func resource(value string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":` + value + `}}`
}

func principal(value string) string {
	return `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Principal":` + value + `}}`
}

func TestParseRefuses(t *testing.T) {
	const identity, key = authz.IdentityPolicy, authz.KeyPolicy
	manyStatements := strings.Repeat(`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"},`, 201)
	tests := []struct {
		name   string
		kind   authz.PolicyKind
		doc    string
		offset int // of the fault; -1 for anywhere
		msg    string
	}{
		{"no kind", 0, identityWith(""), 0, "unknown kind"},

		// JSON.
		{"nothing", identity, "", 0, "ends where a value"},
		{"only space", identity, " \n", 2, "ends where a value"},
		{"a byte order mark", identity, "\ufeff{}", 0, "byte order mark"},
		{"trailing data", identity, identityWith("") + "\n{}", -1, "ends before this"},
		{"trailing comma", identity, `{"Statement":[],}`, 16, "remove the comma"},
		{"missing comma", identity, `{"Version":"2012-10-17" "Statement":[]}`, 24, "a comma or the closing '}'"},
		{"a leading comma", identity, `{,}`, 1, "a name in double quotes"},
		{"a comma alone in a list", identity, `{"Statement":[,]}`, 14, "a value should be here"},
		{"a name without quotes", identity, `{Statement:[]}`, 1, "a name in double quotes"},
		{"a name without a colon", identity, `{"Statement"[]}`, 12, "a colon"},
		{"single quotes", identity, `{"Statement":'x'}`, 13, "a value should be here"},
		{"an unclosed object", identity, `{"Version":"2012-10-17"`, 23, "a comma or the closing '}'"},
		{"a name that does not end", identity, `{"Version`, 1, "does not end"},
		{"an unclosed list", identity, `{"Statement":[1`, 15, "a comma or the closing ']'"},
		{"a bad value in a list", identity, `{"Statement":[x`, 14, "not a value of JSON"},
		{"every escape", identity, `{"\"\\\/\n\r\t\u00Ff":1}`, 1, "unknown element"},
		{"an unclosed string", identity, `{"Version":"2012`, 11, "does not end"},
		{"an unclosed string with an escape", identity, `{"Version":"\n2012`, 11, "does not end"},
		{"an unclosed escape", identity, `{"Version":"\`, 12, "inside an escape"},
		{"an unknown escape", identity, `{"Version":"\x41"}`, 12, "not an escape"},
		{"a short escape", identity, `{"Version":"\u00"}`, 12, "four hexadecimal digits"},
		{"a comment", identity, `{/**/}`, 1, "a name in double quotes"},
		{"a bare word", identity, `{"Version":yes}`, 11, `"yes" is not a value`},
		{"a number with a leading zero", identity, `{"Version":01}`, 11, "not a value of JSON"},
		{"a number without digits", identity, `{"Version":-}`, 11, "not a value of JSON"},
		{"a number with an empty fraction", identity, `{"Version":1.}`, 11, "not a value of JSON"},
		{"a number with an empty exponent", identity, `{"Version":1e}`, 11, "not a value of JSON"},
		{"a number with garbage", identity, `{"Version":1x}`, 11, "not a value of JSON"},
		{"infinity", identity, `{"Version":Infinity}`, 11, "not a value of JSON"},
		{"a line end in a string", identity, "{\"Version\":\"2012\n\"}", 16, "inside a string"},
		{"a tab in a string after an escape", identity, "{\"Version\":\"\\n\t\"}", 14, "inside a string"},
		{"invalid UTF-8", identity, "{\"Version\":\"\xff\"}", 12, "invalid UTF-8"},
		{"a truncated character", identity, "{\"Version\":\"\xc3", 12, "invalid UTF-8"},
		{"an overlong character", identity, "{\"Version\":\"\xc0\x80\"}", 12, "invalid UTF-8"},
		{"a surrogate", identity, "{\"Version\":\"\xed\xa0\x80\"}", 12, "invalid UTF-8"},
		{"a character past U+00FF", identity, `{"Version":"Ā"}`, 12, "U+0100"},
		{"an escape past U+00FF", identity, `{"Version":"\u0100"}`, 12, "U+0100"},
		{"an escaped surrogate pair", identity, `{"Version":"\ud83d\ude00"}`, 12, "U+D83D"},
		{"a control character", identity, "{\"Version\":\"\x01\"}", 12, "U+0001"},
		{"an escaped control character", identity, `{"Version":"\u0000"}`, 12, "U+0000"},
		{"an escaped form feed", identity, `{"Version":"\f"}`, 12, "U+000C"},
		{"an escaped backspace", identity, `{"Version":"\b"}`, 12, "U+0008"},
		{"nine levels", identity, strings.Repeat("[", 9) + strings.Repeat("]", 9), 8, "nested more than 8"},
		{"a hundred thousand levels", key, strings.Repeat("[", 32000), 8, "nested more than 8"},
		{"eight levels", identity, strings.Repeat("[", 8) + strings.Repeat("]", 8), 0, "a policy is an object"},

		// Sizes.
		{"a long key policy", key, strings.Repeat(" ", 32769), 32768, "at most 32768 bytes"},
		{"a long identity policy", identity, strings.Repeat(" ", 131073), 131072, "at most 131072 bytes"},
		{"many characters", identity, identityWith(`,"Sid":"` + strings.Repeat("a", 6144) + `"`), 0, "at most 6144 characters"},
		{"many statements", key, `{"Statement":[` + strings.TrimSuffix(manyStatements, ",") + `]}`, -1, "more than 200 statements"},
		{"many values", key, `{"Statement":[` + strings.Repeat("1,", 1000) + `1]}`, -1, "more than 1000 values"},
		{"many members", key, `{` + manyMembers(1001) + `}`, -1, "more than 1000 members"},

		// Names.
		{"Effect in two cases", identity, identityWith(`,"effect":"Deny"`), 59, `names are case-sensitive, write "Effect"`},
		{"Effect twice", identity, identityWith(`,"Effect":"Deny"`), 59, `"Effect" stands twice`},
		{"Effect twice by an escape", identity, identityWith(`,"\u0045ffect":"Deny"`), 59, `"Effect" stands twice`},
		{"Statement twice", identity, `{"Statement":[],"Statement":[]}`, 16, "stands twice"},
		{"a principal type twice", key, principal(`{"AWS":"*","AWS":"*"}`), -1, "stands twice"},
		{"an unknown element", identity, `{"Statment":[]}`, 1, "a policy may have Version, Id, Statement"},
		{"an unknown element of a statement", identity, identityWith(`,"Resources":"*"`), 59, "a statement may have Sid"},
		{"an element with a long name", identity, `{"` + strings.Repeat("x", 300) + `":1}`, 1, `"` + strings.Repeat("x", 64) + `"...`},

		// The policy.
		{"a list", identity, `[]`, 0, "this is a list"},
		{"a string", identity, `"x"`, 0, "this is a string"},
		{"null", identity, `null`, 0, "this is null"},
		{"no Statement", identity, `{}`, 0, "has a Statement"},
		{"an empty Statement", identity, `{"Statement":[]}`, 13, "Statement is empty"},
		{"a Statement of text", identity, `{"Statement":"x"}`, 13, "Statement is a string"},
		{"a statement of text", identity, `{"Statement":["x"]}`, 14, "a statement is an object"},
		{"a statement in two lists", identity, `{"Statement":[[{}]]}`, 14, "this is a list"},
		{"a future Version", identity, `{"Version":"2026-01-01","Statement":[]}`, 11, `write "2012-10-17"`},
		{"a huge number for Version", identity, `{"Version":-1.5e+999999999,"Statement":[]}`, 11, "Version is a number"},
		{"Id in an identity policy", identity, `{"Id":"x","Statement":[]}`, 6, "Id is for policies of resources"},
		{"a number for Id", key, `{"Id":7,"Statement":[]}`, 6, "Id is a number"},

		// A statement.
		{"no Effect", identity, `{"Statement":{"Action":"*","Resource":"*"}}`, 13, "no Effect"},
		{"effect of another case", identity, `{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}`, 23, `"allow" does not exist`},
		{"a Deny of another case", identity, `{"Statement":{"Effect":"deny","Action":"*","Resource":"*"}}`, 23, `"deny" does not exist`},
		{"a boolean Effect", identity, `{"Statement":{"Effect":true,"Action":"*","Resource":"*"}}`, 23, "Effect is a boolean"},
		{"a Sid with a space", identity, identityWith(`,"Sid":"a b"`), 65, "letters and digits"},
		{"a number for Sid", identity, identityWith(`,"Sid":1`), 65, "Sid is a number"},
		{
			"one Sid for two statements", key, `{"Statement":[{"Sid":"a b","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"},` +
				`{"Sid":"a b","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`, -1, "stands twice in the policy",
		},

		// Action.
		{"no Action", identity, `{"Statement":{"Effect":"Allow","Resource":"*"}}`, 13, "no Action"},
		{"Action and NotAction", identity, identityWith(`,"NotAction":"*"`), 71, "not both"},
		{"an empty list of actions", identity, action(`[]`), -1, "Action is empty"},
		{"an empty action", identity, action(`""`), -1, "an empty string"},
		{"an object of actions", identity, action(`{}`), -1, "Action is an object"},
		{"a number among actions", identity, action(`["*",1]`), -1, "in its list"},
		{"lists within lists", identity, action(`[["*"]]`), -1, "a list in its list"},
		{"an action without a service", identity, action(`"Decrypt"`), -1, "is not an action"},
		{"an action of an empty service", identity, action(`":Decrypt"`), -1, "no valid service prefix"},
		{"a wildcard in the service", identity, action(`"k*:Decrypt"`), -1, "only after the colon"},
		{"a wildcard for the service", identity, action(`"*:*"`), -1, "only after the colon"},
		{"an action without a name", identity, action(`"kms:"`), -1, "no valid action name"},
		{"an action with a space", identity, action(`"kms:Decrypt "`), -1, "no valid action name"},
		{"an action with two colons", identity, action(`"kms:a:b"`), -1, "no valid action name"},

		// Resource.
		{"no Resource", identity, `{"Statement":{"Effect":"Allow","Action":"*"}}`, 13, "no Resource"},
		{"Resource and NotResource", identity, identityWith(`,"NotResource":"*"`), 73, "not both"},
		{"an empty list of resources", identity, resource(`[]`), -1, "Resource is empty"},
		{"an empty resource", identity, resource(`""`), -1, "an empty string"},
		{"a key id for a resource", identity, resource(`"1234abcd-12ab-34cd-56ef-1234567890ab"`), -1, "is not an ARN"},
		{"an alias for a resource", identity, resource(`"alias/app"`), -1, "is not an ARN"},
		{"an ARN in capitals", identity, resource(`"ARN:aws:kms:*"`), -1, "is not an ARN"},
		{"a service in capitals", identity, resource(`"arn:aws:KMS:*:*:key/*"`), -1, "capital letters"},
		{"a short ARN", identity, resource(`"arn:aws:kms"`), -1, "fewer than six parts"},
		{"a short ARN with a star inside", identity, resource(`"arn:aws:k*s:local:key/a"`), -1, "fewer than six parts"},
		{"a short account", identity, resource(`"arn:aws:kms:*:1111:key/*"`), -1, "not 12 digits"},
		{"a resource with a trailing space", identity, resource(`"arn:aws:kms:*:*:key/a "`), -1, "white space"},

		// Principal.
		{"no Principal", key, identityWith(""), 13, "no Principal"},
		{"Principal in an identity policy", identity, principal(`"*"`), -1, "remove it"},
		{"NotPrincipal in an identity policy", identity, identityWith(`,"NotPrincipal":"*"`), 74, "NotPrincipal is not supported"},
		{"NotPrincipal", key, identityWith(`,"NotPrincipal":{"AWS":"111122223333"}`), 74, "NotPrincipal is not supported"},
		{"an account without AWS", key, principal(`"111122223333"`), -1, "Principal is the string"},
		{"a list of principals", key, principal(`["*"]`), -1, "Principal is a list"},
		{"an empty principal", key, principal(`{}`), -1, "Principal is empty"},
		{"an empty list of principals", key, principal(`{"AWS":[]}`), -1, "Principal is empty"},
		{"an empty string of principals", key, principal(`{"AWS":""}`), -1, "an empty string"},
		{"a number for a principal", key, principal(`{"AWS":111122223333}`), -1, "Principal is a number"},
		{"a service", key, principal(`{"Service":"s3.amazonaws.com"}`), -1, "type Service are not supported"},
		{"a service beside", key, principal(`{"AWS":"*","Service":"s3.amazonaws.com"}`), -1, "type Service are not supported"},
		{"a federation", key, principal(`{"Federated":"accounts.example"}`), -1, "type Federated are for trust policies"},
		{"a canonical user", key, principal(`{"CanonicalUser":"abc"}`), -1, "type CanonicalUser"},
		{"a type in lower case", key, principal(`{"aws":"*"}`), -1, "unknown type of principal"},
		{"a user with a wildcard", key, principal(`{"AWS":"arn:aws:iam::111122223333:user/*"}`), -1, "has a wildcard"},
		{"an account with a wildcard", key, principal(`{"AWS":"arn:aws:iam::*:root"}`), -1, "has a wildcard"},
		{"a group", key, principal(`{"AWS":"arn:aws:iam::111122223333:group/ops"}`), -1, "cannot be a principal"},
		{"a federated user", key, principal(`{"AWS":"arn:aws:sts::111122223333:federated-user/x"}`), -1, "a federated user"},
		{"an account of 11 digits", key, principal(`{"AWS":"11112222333"}`), -1, "is not a principal"},
		{"a user of no account", key, principal(`{"AWS":"arn:aws:iam:::user/alice"}`), -1, "is not a principal"},
		{"a user without a name", key, principal(`{"AWS":"arn:aws:iam::111122223333:user/"}`), -1, "is not a principal"},
		{"a user with a long name", key, principal(`{"AWS":"arn:aws:iam::111122223333:user/` + strings.Repeat("a", 65) + `"}`), -1, "is not a principal"},
		{"a user with a strange name", key, principal(`{"AWS":"arn:aws:iam::111122223333:user/a b"}`), -1, "is not a principal"},
		{"a user of kms", key, principal(`{"AWS":"arn:aws:kms::111122223333:user/a"}`), -1, "is not a principal"},
		{"a session without a name", key, principal(`{"AWS":"arn:aws:sts::111122223333:assumed-role/r"}`), -1, "is not a principal"},
		{"a unique id in lower case", key, principal(`{"AWS":"AIDAaaaaaaaaaaaaaaaa"}`), -1, "is not a principal"},
		{"a short unique id", key, principal(`{"AWS":"AIDA1"}`), -1, "is not a principal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := authz.Parse(tt.kind, []byte(tt.doc))
			var fault *authz.SyntaxError
			if p != nil || !errors.As(err, &fault) || !errors.Is(err, authz.ErrMalformedPolicy) {
				t.Fatalf("Parse(%.200s) = %v, %v, want no policy and a SyntaxError", tt.doc, p, err)
			}
			if !strings.Contains(fault.Msg, tt.msg) {
				t.Errorf("Parse(%.200s): message %q, want %q in it", tt.doc, fault.Msg, tt.msg)
			}
			if tt.offset >= 0 && fault.Offset != tt.offset {
				t.Errorf("Parse(%.200s): %v at byte %d, want %d", tt.doc, err, fault.Offset, tt.offset)
			}
			if fault.Offset < 0 || fault.Offset > len(tt.doc) {
				t.Errorf("Parse(%.200s): offset %d is outside of the document", tt.doc, fault.Offset)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name       string
		kind       authz.PolicyKind
		doc        string
		statements int
	}{
		{"one statement", authz.IdentityPolicy, identityWith(""), 1},
		{"a list", authz.IdentityPolicy, `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}],"Version":"2008-10-17"}`, 1},
		{"white space and escapes", authz.IdentityPolicy, "\r\n\t {\"State\\u006dent\" : {\"Effect\":\"\\u0041llow\",\"Action\":\"*\",\"Resource\":\"*\"} }\n", 1},
		{"actions of other services", authz.IdentityPolicy, action(`["s3:GetObject","kms:Sign","sts:*"]`), 1},
		{
			"a variable's characters in the old version", authz.IdentityPolicy,
			`{"Version":"2008-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"arn:aws:iam::*:user/${x}"}}`, 1,
		},
		{"short patterns with a star", authz.IdentityPolicy, resource(`["arn:*","arn:aws:kms:*","arn:aws:kms:*:key/x"]`), 1},
		{"a resource of another service", authz.IdentityPolicy, resource(`"arn:aws:s3:::bucket/a*"`), 1},
		{
			"Latin-1 in a Sid of a key policy", authz.KeyPolicy,
			`{"Id":"key-default-1","Statement":{"Sid":"Für \"alle\": ÿ","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`, 1,
		},
		{"every form of principal", authz.KeyPolicy, principal(`{"AWS":["*","111122223333","arn:aws:iam::111122223333:root",
			"arn:aws-cn:iam::111122223333:user/a/b/c","arn:aws:iam::111122223333:role/r","AIDAAAAAAAAAAAAAA001","AROAAAAAAAAAAAAAA001",
			"arn:aws:sts::111122223333:assumed-role/r/s1"]}`), 1},
		{"empty Sids", authz.KeyPolicy, `{"Statement":[{"Sid":"","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"},
			{"Sid":"","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := authz.Parse(tt.kind, []byte(tt.doc))
			if err != nil {
				t.Fatalf("Parse(%s): %v", tt.doc, err)
			}
			if got := p.Statements(); got != tt.statements {
				t.Errorf("Statements() = %d, want %d", got, tt.statements)
			}
			if got := string(p.Document()); got != tt.doc {
				t.Errorf("Document() = %q, want %q", got, tt.doc)
			}
			for n := 1; n <= p.Statements(); n++ {
				var s map[string]any
				from, to := p.StatementSpan(n)
				if err := json.Unmarshal(p.Document()[from:to], &s); err != nil || s["Sid"] != nil && s["Sid"] != p.Sid(n) {
					t.Errorf("StatementSpan(%d) = %d, %d: %v; Sid = %q, want %q", n, from, to, err, p.Sid(n), s["Sid"])
				}
			}
			if p.Named("x").Name() != "x" || p.Name() != "" || p.Kind() != tt.kind {
				t.Errorf("Named = %q and Name = %q of a %v, want x, nothing and %v", p.Named("x").Name(), p.Name(), p.Kind(), tt.kind)
			}
			if from, to := p.StatementSpan(p.Statements() + 1); from != 0 || to != 0 {
				t.Errorf("StatementSpan past the last = %d, %d, want 0, 0", from, to)
			}
			if p.Sid(0) != "" || p.Sid(p.Statements()+1) != "" {
				t.Error("Sid of a statement that does not exist is not empty")
			}
		})
	}
}

func TestSizesAtTheirBounds(t *testing.T) {
	doc := identityWith("")
	if p := mustParse(t, authz.IdentityPolicy, doc+strings.Repeat(" ", 131072-len(doc))); p.Size() != len(doc) {
		t.Errorf("Size() = %d, want %d without white space", p.Size(), len(doc))
	}
	full := identityWith(`,"Sid":"` + strings.Repeat("a", 6144-len(identityWith(`,"Sid":""`))) + `"`)
	if p := mustParse(t, authz.IdentityPolicy, full); p.Size() != 6144 {
		t.Errorf("Size() = %d, want 6144", p.Size())
	}
	doc = principal(`"*"`)
	mustParse(t, authz.KeyPolicy, doc+strings.Repeat(" ", 32768-len(doc)))
	spaced := `{"Statement":{"Sid":"a \" \\","Effect":"Deny", "Principal":"*","Action":"*","Resource":"*"}}`
	if p := mustParse(t, authz.KeyPolicy, spaced); p.Size() != len(spaced)-1 {
		t.Errorf("Size() = %d, want %d: white space in strings counts", p.Size(), len(spaced)-1)
	}
}

func TestSyntaxErrorsSayWhere(t *testing.T) {
	_, err := authz.Parse(authz.IdentityPolicy, []byte("{\n  \"Version\": \"2012-10-17\",\n  \"Id\": \"é\", \"Bad\": 1}"))
	const want = `malformed policy document: line 3, column 14: unknown element "Bad"; a policy may have Version, Id, Statement`
	if err == nil || err.Error() != want {
		t.Errorf("Parse = %v, want %v", err, want)
	}
}

func TestErrorsQuoteLittleOfTheDocument(t *testing.T) {
	for _, marker := range []string{"z", "\u00ff", "\u007f"} {
		hostile := strings.Repeat(marker, 2000)
		for _, doc := range []string{
			`{"` + hostile + `":1}`, `{"Version":"` + hostile + `"}`, `{"Version":` + hostile + `}`,
			action(`"` + hostile + `"`), resource(`"` + hostile + `"`), resource(`"arn:${` + hostile + `"`),
			identityWith(`,"Sid":"` + hostile + ` "`), `{"Statement":{"Effect":"` + hostile + `"}}`,
			`{"a` + hostile + `":1,"a` + hostile + `":1}`, `{"a` + hostile + `"}`,
		} {
			_, err := authz.Parse(authz.IdentityPolicy, []byte(doc))
			if err == nil {
				t.Fatalf("Parse(%.40s) = nil, want an error", doc)
			}
			quoted := strings.Count(err.Error(), "z") + strings.Count(err.Error(), `\u00ff`)*2 + strings.Count(err.Error(), `\x7f`)
			if quoted > 64+2 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("Parse(%.40s): %v quotes %d bytes, want at most 64, escaped", doc, err, quoted)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		delegating, onlyAlice, everyone, bothSides, allowAll, allowKeys, denyDecrypt, identityWith(`,"effect":"Deny"`),
		principal(`{"AWS":["*","111122223333","arn:aws:iam::111122223333:role/r","AIDAAAAAAAAAAAAAA001"]}`),
		authz.FullAWSAccess, authz.RCPFullAWSAccess, trust(`"*"`, `"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`),
		trust(federated, `"Condition":{"ForAnyValue:StringLikeIfExists":{"idp.example/realm:sub":["a*",7,true]}}`),
		conditions(`{"NumericLessThan":{"aws:MultiFactorAuthAge":"-3.50"},"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00.5+01:00"}}`),
		conditions(`{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::1"]},"Null":{"aws:username":false},"Bool":{"aws:SecureTransport":"TRUE"}}`),
		conditions(`{"ForAllValues:StringNotLike":{"aws:TagKeys":["${aws:username}*","${*}","${aws:PrincipalTag/x, 'y'}"]},"BinaryEquals":{"aws:username":"YQ=="}}`),
		conditions(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/${aws:PrincipalTag/team}"},"StringEqualsIgnoreCase":{"aws:RequestTag/k":"É${aws:userid}"}}`),
		resource(`["arn:*","arn:aws:kms:*:key/x","arn:aws:s3:::b"]`), `{"Version":-1.5e+9,"Id":[[[[{}]]]]}`, "\ufeff{}",
		resource(`"arn:` + strings.Repeat(">", 1100) + `"`),
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for kind := authz.IdentityPolicy; kind <= authz.ResourceControlPolicy; kind++ {
			p, err := authz.Parse(kind, doc)
			if err != nil {
				var fault *authz.SyntaxError
				if p != nil || !errors.As(err, &fault) || fault.Offset < 0 || fault.Offset > len(doc) || fault.Line < 1 || fault.Column < 1 {
					t.Fatalf("Parse(%q) = %v, %#v", doc, p, err)
				}
				continue
			}
			if !json.Valid(doc) {
				t.Fatalf("Parse(%q) accepts what is not JSON", doc)
			}
			again := mustParse(t, kind, string(p.Document()))
			sameDecisions(t, p, again)
			other := reordered(t, doc)
			if string(doc) != authz.RCPFullAWSAccess && len(other) <= len(doc) { // that one is known by its bytes, and what got longer by escapes may be too long
				sameDecisions(t, p, mustParse(t, kind, other))
			}
		}
	})
}

// reordered writes a document anew, with the members of every object in another order.
func reordered(t *testing.T, doc []byte) string {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// sameDecisions puts every question of a small world to two policies.
func sameDecisions(t *testing.T, a, b *authz.Policy) {
	t.Helper()
	bind := func(p *authz.Policy) *authz.Policy {
		bound, err := p.Bind(func(string) (string, bool) { return "AIDAAAAAAAAAAAAAA001", true })
		if err != nil {
			t.Fatal(err)
		}
		return bound
	}
	a, b = bind(a), bind(b)
	everything := authz.Unusable(authz.IdentityPolicy, "")
	if p, err := authz.Parse(authz.IdentityPolicy, []byte(allowAll)); err == nil {
		everything = p
	}
	x := authz.Context{
		Time: time.Unix(1767323045, 0), SourceIP: netip.MustParseAddr("10.0.0.1"), UserAgent: "a",
		RequestTags: authz.NewPairs(map[string]string{"k": "v", "K": "w"}), Claims: authz.NewPairs(map[string]string{"idp.example/realm:sub": "a"}),
	}
	for _, act := range []authz.Action{authz.KMSEncrypt, authz.KMSCreateAlias, authz.STSAssumeRole} {
		for _, arn := range []string{keyA, "arn:aws:kms:local:444455556666:key/a"} {
			for _, id := range []string{"AIDAAAAAAAAAAAAAA001", "AIDAAAAAAAAAAAAAA002"} {
				for _, account := range []string{accountA, accountB} {
					ask := func(p *authz.Policy) authz.Decision {
						c := authz.Caller{
							Kind: authz.User, Account: account, ID: id, UserName: "a", ARN: "arn:aws:iam::" + account + ":user/a",
							Identity: []*authz.Policy{everything},
						}
						r := authz.Resource{Kind: authz.Key, Account: accountA, ARN: arn}
						if act == authz.STSAssumeRole {
							r.Kind = authz.Role
						}
						place(p, &c, &r)
						_, d := authz.Authorize(&c, act, &r, &x)
						return d
					}
					if got, want := ask(b), ask(a); got != want {
						t.Fatalf("Authorize(%v, %s) = %+v, want %+v, policies %s and %s", act, arn, got, want, b.Document(), a.Document())
					}
				}
			}
		}
	}
}

// place attaches a policy where its kind belongs.
func place(p *authz.Policy, c *authz.Caller, r *authz.Resource) {
	member := &authz.Membership{Organization: "o-1", SCPs: [][]*authz.Policy{{p}}, RCPs: [][]*authz.Policy{{p}}}
	switch p.Kind() {
	case authz.IdentityPolicy:
		c.Identity, c.Boundary = []*authz.Policy{p}, p
	case authz.SessionPolicy:
		c.Session = []*authz.Policy{p}
	case authz.ServiceControlPolicy:
		c.Membership = member
	case authz.ResourceControlPolicy:
		r.Membership = member
	default:
		r.Policy = p
	}
}
