package clients

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// What a member of a request looks like.
type kind int

const (
	scalar kind = iota // text, a blob
	number             // or a boolean, or a time: what is not text
	structure
	list
	dict
)

// pathStep is a member on the way into a request.
type pathStep struct {
	name string
	kind kind
}

// verdict is what the front does with a member.
type verdict int

const (
	ignores verdict = iota
	reads           // it refuses what the member cannot be
	refuses         // it refuses the member
)

// prober finds out which members of the requests of a service the front reads.
type prober struct {
	s       *goSDK
	http    *http.Client
	service string
	found   map[string]verdict // by "Type.Member"
}

// wireNames are the members that do not look on the wire as they do in the SDK.
var wireNames = map[string]string{"PolicyDescriptorType.Arn": "arn"}

// operation probes the members of a request, and those of what it holds.
func (p *prober) operation(t *testing.T, op operation) {
	t.Helper()
	if v := p.probe(t, op.name, []pathStep{{"NoMember", scalar}}); v != ignores {
		t.Errorf("%s refuses a member that does not exist: the test sees nothing", op.name)
	}
	p.members(t, op.name, op.in, nil)
}

func (p *prober) members(t *testing.T, operation string, in reflect.Type, prefix []pathStep) {
	t.Helper()
	for _, f := range members(in) {
		name := in.Name() + "." + f.Name
		wire := f.Name
		if wireNames[name] != "" {
			wire = wireNames[name]
		}
		inner, k := kindOf(f.Type)
		steps := append(prefix[:len(prefix):len(prefix)], pathStep{wire, k})
		v := p.probe(t, operation, steps)
		if before, ok := p.found[name]; ok && before != v {
			t.Errorf("%s of %s is treated otherwise than in another operation", name, operation)
		}
		p.found[name] = v
		if inner != nil && v == reads && len(steps) < 4 {
			p.members(t, operation, inner, steps)
		}
	}
}

// kindOf says what a field looks like, and which structure it is, or a list of which.
func kindOf(t reflect.Type) (reflect.Type, kind) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		switch inner := t.Elem(); {
		case inner.Kind() == reflect.Uint8:
			return nil, scalar
		case isStructure(inner):
			return inner, list
		}
		return nil, list
	case reflect.Map:
		return nil, dict
	case reflect.Struct:
		if isStructure(t) {
			return t, structure
		}
		return nil, number
	case reflect.String:
		return nil, scalar
	}
	return nil, number
}

// probe sends the member alone, and then, since what a request must have comes first, beside what a request has that succeeded.
func (p *prober) probe(t *testing.T, operation string, steps []pathStep) verdict {
	t.Helper()
	v := ignores
	for _, sent := range [][]byte{nil, p.s.recorder.request(p.service + "." + operation)} {
		write := p.json
		if p.service == "iam" || p.service == "sts" {
			write = p.form
		}
		status, answer := p.post(t, write(t, operation, steps, sent))
		switch {
		case status == http.StatusOK:
		case bytes.Contains(answer, []byte("Unsupported")) && bytes.Contains(answer, []byte("kmsd does not have "+steps[len(steps)-1].name)):
			return refuses
		case bytes.Contains(answer, []byte("SerializationException")), bytes.Contains(answer, []byte("MalformedInput")):
			v = reads
		}
	}
	return v
}

// message is a request on the wire.
type message struct {
	contentType, target string
	body                []byte
}

// json is a request in which the member is something else than it must be.
func (p *prober) json(t *testing.T, operation string, steps []pathStep, sent []byte) message {
	t.Helper()
	var value any = true // no text, and no list, structure or blob
	if steps[len(steps)-1].kind == number {
		value = map[string]any{"x": 1}
	}
	for i := len(steps) - 1; i > 0; i-- {
		value = map[string]any{steps[i].name: value}
		if steps[i-1].kind == list {
			value = []any{value}
		}
	}
	request := map[string]any{}
	if len(sent) > 0 {
		if err := json.Unmarshal(sent, &request); err != nil {
			t.Fatal(err)
		}
	}
	request[steps[0].name] = value
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	prefix := map[string]string{"kms": "TrentService.", "organizations": "AWSOrganizationsV20161128."}[p.service]
	return message{"application/x-amz-json-1.1", prefix + operation, body}
}

// form is such a request of the Query protocol: what has a value gets members, and what has members a value.
func (p *prober) form(t *testing.T, operation string, steps []pathStep, sent []byte) message {
	t.Helper()
	var name strings.Builder
	for i, step := range steps {
		if i > 0 {
			name.WriteByte('.')
		}
		name.WriteString(step.name)
		if i < len(steps)-1 && step.kind == list {
			name.WriteString(".member.1")
		}
	}
	if k := steps[len(steps)-1].kind; k == scalar || k == number {
		name.WriteString(".Inner")
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(form, func(n string, _ []string) bool { return n == steps[0].name || strings.HasPrefix(n, steps[0].name+".") })
	form.Set("Action", operation)
	form.Set("Version", map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[p.service])
	form.Set(name.String(), "x")
	return message{"application/x-www-form-urlencoded; charset=utf-8", "", []byte(form.Encode())}
}

// post sends a signed request, as a client does that is not AWS's, and returns the answer's status and body.
func (p *prober) post(t *testing.T, m message) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.s.k.endpoint+"/", bytes.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", m.contentType)
	if m.target != "" {
		request.Header.Set("X-Amz-Target", m.target)
	}
	sum := sha256.Sum256(m.body)
	credentials := aws.Credentials{AccessKeyID: p.s.k.keyID, SecretAccessKey: p.s.k.secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, request, hex.EncodeToString(sum[:]), p.service, p.s.k.region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := p.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, b
}
