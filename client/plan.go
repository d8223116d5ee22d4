package client

import (
	"crypto/rand"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/crypto"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	sumSuffix      = "_crc32c"
	verifiedPrefix = "verified_"
	tokenField     = "client_token"
	dryRunField    = "dry_run"
)

// files are the .proto files with services.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_batch_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
		organizationsv1.File_kmsd_organizations_v1_organizations_service_proto,
	}
}

// plan is what a message has besides its content: it follows from the names of its fields.
type plan struct {
	sums     []pair
	verified []protoreflect.FieldDescriptor // verified_x_crc32c: whether the server has checked the request's x
	token    protoreflect.FieldDescriptor   // client_token; nil if there is none
	dryRun   protoreflect.FieldDescriptor   // dry_run; nil if there is none
}

// pair is a field x and its checksum x_crc32c.
type pair struct{ of, sum protoreflect.FieldDescriptor }

// plans :: full name of a message that a method takes or returns, or an item of a batch has → its plan.
var plans = sync.OnceValue(func() map[protoreflect.FullName]*plan {
	all := map[protoreflect.FullName]*plan{}
	for _, file := range files() {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				for _, d := range []protoreflect.MessageDescriptor{methods.Get(j).Input(), methods.Get(j).Output()} {
					all[d.FullName()] = newPlan(d)
				}
			}
		}
	}
	return all
})

func newPlan(d protoreflect.MessageDescriptor) *plan {
	p := &plan{token: d.Fields().ByName(tokenField), dryRun: d.Fields().ByName(dryRunField)}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		of, isSum := strings.CutSuffix(string(f.Name()), sumSuffix)
		switch content := d.Fields().ByName(protoreflect.Name(of)); {
		case isSum && strings.HasPrefix(of, verifiedPrefix):
			p.verified = append(p.verified, f)
		case isSum && content != nil:
			p.sums = append(p.sums, pair{content, f})
		case isSum:
			panic("client: internal error: " + string(f.FullName()) + " is the checksum of nothing")
		}
	}
	return p
}

// planOf returns the plan of a message; one without anything for a message that is not kmsd's.
func planOf(m proto.Message) *plan {
	if p := plans()[m.ProtoReflect().Descriptor().FullName()]; p != nil {
		return p
	}
	return &plan{}
}

// complete is the function complete for any message.
func (p *plan) complete(request proto.Message, token string) proto.Message {
	m := request.ProtoReflect()
	lacks := func(f protoreflect.FieldDescriptor) bool { return f != nil && !m.Has(f) }
	missing := lacks(p.token)
	for _, s := range p.sums {
		missing = missing || lacks(s.sum)
	}
	if !missing {
		return request
	}
	sent := m.New()
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		sent.Set(f, v)
		return true
	})
	sent.SetUnknown(m.GetUnknown())
	if lacks(p.token) {
		if token == "" {
			token = rand.Text()
		}
		sent.Set(p.token, protoreflect.ValueOfString(token))
	}
	for _, s := range p.sums {
		if lacks(s.sum) {
			sent.Set(s.sum, protoreflect.ValueOfUint32(crypto.CRC32C(m.Get(s.of).Bytes())))
		}
	}
	return sent.Interface()
}

// isDryRun reports whether a message asks for a dry run, or says that it was one.
func isDryRun(m proto.Message) bool {
	f := planOf(m).dryRun
	return f != nil && m.ProtoReflect().Get(f).Bool()
}

// check is the function check for any message. Without a request an answer that says it was of a dry run may have been one.
func (p *plan) check(request, answer proto.Message) error {
	if len(p.sums) == 0 && len(p.verified) == 0 {
		return nil
	}
	m := answer.ProtoReflect()
	if isDryRun(answer) && (request == nil || isDryRun(request)) {
		return nil
	}
	for _, s := range p.sums {
		if !m.Has(s.sum) || uint32(m.Get(s.sum).Uint()) != crypto.CRC32C(m.Get(s.of).Bytes()) {
			return ErrIntegrity
		}
	}
	for _, f := range p.verified {
		if !m.Get(f).Bool() {
			return errNotVerified
		}
	}
	return nil
}

// wipe overwrites the bytes of an answer, and of what it consists of.
func wipe(answer proto.Message) {
	m := answer.ProtoReflect()
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
		case f.Kind() == protoreflect.BytesKind && !f.IsList():
			clear(v.Bytes())
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				wipe(v.List().Get(i).Message().Interface())
			}
		case f.Message() != nil:
			wipe(v.Message().Interface())
		}
		return true
	})
	proto.Reset(answer)
}
