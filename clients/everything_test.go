package clients

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// api is a client of the SDK, seen as a table of operations.
type api struct {
	service string
	client  any // *kms.Client and so on
}

func (s *goSDK) apis() []api {
	return []api{{"kms", s.kms}, {"organizations", s.orgs}, {"iam", s.iam}, {"sts", s.sts}}
}

// operation is a method of a client.
type operation struct {
	name    string
	in, out reflect.Type // structures
	call    reflect.Value
}

// operations are those that the SDK has.
func (a api) operations(t testing.TB) []operation {
	t.Helper()
	v := reflect.ValueOf(a.client)
	var list []operation
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		f := v.Method(i).Type()
		if f.NumIn() != 3 || f.NumOut() != 2 || !strings.HasSuffix(f.In(1).String(), "."+m.Name+"Input") {
			continue
		}
		list = append(list, operation{m.Name, f.In(1).Elem(), f.Out(0).Elem(), v.Method(i)})
	}
	if len(list) == 0 {
		t.Fatalf("the SDK has no operations of %s", a.service)
	}
	return list
}

// everyOperation wants each operation of the SDK to have succeeded in one of the cases before, or to be refused by name.
func everyOperation(t *testing.T, s *goSDK) {
	refusal := map[string]string{"kms": "UnsupportedOperationException", "organizations": "UnsupportedAPIEndpointException", "iam": "UnsupportedOperation", "sts": "UnsupportedOperation"}
	for _, a := range s.apis() {
		s.run(t, a.service, func(t *testing.T) {
			succeeded := s.recorder.succeeded(a.service)
			had := 0
			for _, op := range a.operations(t) {
				if succeeded[op.name] {
					had++
					continue
				}
				err := op.callWithAnything(t.Context())
				if op.name == "AssumeRoleWithSAML" {
					// The SDK does not sign it, and kmsd names nothing to who has not said who it is.
					wantCode(t, op.name, err, "MissingAuthenticationToken")
				} else if got := code(err); got != refusal[a.service] {
					t.Errorf("%s has not been called with success, and is not refused as %s either: %v", op.name, refusal[a.service], err)
				} else if !strings.Contains(err.Error(), op.name) {
					t.Errorf("the refusal %q does not name the operation %s", err, op.name)
				}
			}
			t.Logf("%s: %d operations of %d", a.service, had, len(a.operations(t)))
		})
	}
}

// callWithAnything calls an operation with a request whose every member is there, so that the SDK does not refuse it by itself.
func (o operation) callWithAnything(ctx context.Context) error {
	in := reflect.New(o.in)
	fill(in.Elem(), 0)
	results := o.call.Call([]reflect.Value{reflect.ValueOf(ctx), in})
	err, _ := results[1].Interface().(error)
	return err
}

// fill sets every member of a structure to something.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth < 6 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0)))
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "ResultMetadata" {
				fill(f, depth+1)
			}
		}
	case reflect.Slice:
		if depth < 6 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString("xxxxxxxxxxxxxxxxxxxx")
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8:
		v.SetUint('x')
	}
}

// structures are the structures that a type is made of, itself among them.
func structures(t reflect.Type, found map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if !isStructure(t) || found[t] {
		return
	}
	found[t] = true
	for _, f := range members(t) {
		structures(f.Type, found)
	}
}

// members are the fields of a structure that AWS's model has.
func members(t reflect.Type) []reflect.StructField {
	var list []reflect.StructField
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && f.Name != "ResultMetadata" {
			list = append(list, f)
		}
	}
	return list
}

// answersMembers wants every member of every answer to be one that the SDK knows, and every one that it knows to have been in an answer or to be in the
// list of those that kmsd never says.
func answersMembers(t *testing.T, s *goSDK) {
	for _, a := range s.apis() {
		s.run(t, a.service, func(t *testing.T) {
			seen, absent := map[string]bool{}, map[string]bool{}
			succeeded := s.recorder.succeeded(a.service)
			var ops []operation
			for _, op := range a.operations(t) {
				if succeeded[op.name] {
					ops = append(ops, op)
					for _, unknown := range s.recorder.members(a.service+"."+op.name, op.out, seen) {
						t.Errorf("an answer of %s has the member %s, which AWS's has not", op.name, unknown)
					}
				}
			}
			for _, op := range ops {
				found := map[reflect.Type]bool{}
				structures(op.out, found)
				for structure := range found {
					for _, f := range members(structure) {
						if name := structure.Name() + "." + f.Name; !seen[name] {
							absent[name] = true
						}
					}
				}
			}
			compareAbsent(t, absent, seen, absentInAnswers[a.service])
		})
	}
}

// compareAbsent compares the members that are not there with the list of those that may be.
func compareAbsent(t *testing.T, absent, seen map[string]bool, listed []absence) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(absent)) {
		if !slices.ContainsFunc(listed, func(a absence) bool { return a.covers(name) }) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		for _, a := range listed {
			if a.member == name {
				t.Errorf("%s is there, and listed as absent because %q", name, a.because)
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("%d members were there, which cannot be all", len(seen))
	}
}

// absence is a member, or all of a structure ("Type."), that kmsd has not.
type absence struct{ member, because string }

func (a absence) covers(name string) bool {
	if strings.HasSuffix(a.member, ".") {
		return strings.HasPrefix(name, a.member)
	}
	return a.member == name
}

// requestsMembers asks, for each member of a request that AWS has, whether the front reads it: it is sent as something that it cannot be, which is
// refused if it is read, and makes no difference if it is not.
func requestsMembers(t *testing.T, s *goSDK) {
	h := &http.Client{Transport: s.recorder.base, Timeout: 30 * time.Second}
	for _, a := range s.apis() {
		s.run(t, a.service, func(t *testing.T) {
			p := &prober{s: s, http: h, service: a.service, found: map[string]verdict{}}
			succeeded := s.recorder.succeeded(a.service)
			for _, op := range a.operations(t) {
				if succeeded[op.name] {
					p.operation(t, op)
				}
			}
			read, ignored := map[string]bool{}, map[string]bool{}
			for name, v := range p.found {
				if v == ignores {
					ignored[name] = true
				} else {
					read[name] = true
				}
			}
			compareAbsent(t, ignored, read, ignoredInRequests[a.service])
			t.Logf("%s: %d members of requests are read", a.service, len(read))
		})
	}
}
