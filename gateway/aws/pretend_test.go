package aws

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/internal/front"
)

// pretend stands for the pipeline: it reads requests as the pipeline does, and answers with errors and messages that depend on the request alone.
type pretend struct {
	methods map[string]*operation
	dice    dice
	calls   int
	wrong   string // what a call found wrong with how it was called; empty if nothing
	given   bool   // an answer that has to be wiped
}

const pretendID = "11112222-3333-4444-5555-666677778888"

// Invoke is one call.
func (p *pretend) Invoke(ctx context.Context, method string, args, out any, _ ...grpc.CallOption) error {
	p.calls++
	call := front.FromContext(ctx)
	request, isRequest := args.(front.Request)
	answer, isReply := out.(*front.Reply)
	switch {
	case call == nil || call.Conn == nil || !isRequest || !isReply:
		p.wrong = "the call lacks something"
		return failed(codes.Internal, "KMSInternalException", "", nil)
	case call.Refused != nil:
		if call.Refused.Reason == "" {
			p.wrong = "a request is refused without a reason"
		}
		return failed(codes.InvalidArgument, call.Refused.Reason, call.Refused.Message, nil)
	case call.Signed == nil || len(call.Signed.PayloadHash) != 64 || call.Signed.Headers["host"] == nil:
		p.wrong = "the call has no signed request"
	}
	op := p.methods[method]
	if op == nil {
		if method != unknownMethod {
			p.wrong = "a call of " + method
		}
		return failed(codes.Unimplemented, reasonUnsupported, "kmsd has no such method", nil)
	}
	if call.Service != op.service.name {
		p.wrong = "a call of " + method + " for the service " + call.Service
	}
	m := newMessage(op.in)
	if err := request.DecodeTo(m); err != nil {
		var e *front.Error
		if !errors.As(err, &e) || e.Reason == "" {
			p.wrong = fmt.Sprintf("DecodeTo gives %v", err)
			return failed(codes.Internal, "KMSInternalException", "", nil)
		}
		return failed(codes.InvalidArgument, e.Reason, e.Message, nil)
	}
	return p.answer(op, m, answer)
}

// NewStream is not called.
func (p *pretend) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("a front has no streams")
}

// answer is an error for every fourth request.
func (p *pretend) answer(op *operation, in proto.Message, answer *front.Reply) error {
	if p.dice.n(4) == 0 {
		reasons := []string{
			"AccessDeniedException", "ValidationException", "NotFoundException", "KMSInternalException", "InvalidCiphertextException", "NoSuchEntityException", "ThrottlingException", "",
			"ExpiredTokenException", p.dice.text(),
		}
		code := codes.Code(p.dice.n(17))
		if code == codes.OK {
			code = codes.Unavailable
		}
		fields := in.ProtoReflect().Descriptor().Fields()
		field := p.dice.text()
		if fields.Len() > 0 {
			field = string(fields.Get(p.dice.n(fields.Len())).Name())
		}
		return failed(code, reasons[p.dice.n(len(reasons))], p.dice.text(), []*errdetails.BadRequest_FieldViolation{
			{Field: field, Description: "must be given"}, {Field: p.dice.text(), Description: p.dice.text()},
		})
	}
	m := newMessage(op.out)
	p.dice.fill(m.ProtoReflect(), 3)
	p.given = true
	answer.Message, answer.RequestID, answer.Wipe = m, pretendID, func() { p.given = false }
	return nil
}

func failed(code codes.Code, reason, message string, fields []*errdetails.BadRequest_FieldViolation) error {
	st := status.New(code, message)
	with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "kms"}, &errdetails.RequestInfo{RequestId: pretendID}, &errdetails.BadRequest{FieldViolations: fields})
	if err != nil {
		return st.Err()
	}
	return with.Err()
}

// dice gives what is random for a reader and the same for the same request.
type dice struct {
	state uint64
	from  string // texts are parts of it
}

var diceSeed = maphash.MakeSeed()

func (d *dice) n(n int) int {
	d.state = d.state*6364136223846793005 + 1442695040888963407
	return int(d.state>>33) % n
}

// text is a part of the request, or what is hard to write in JSON or XML.
func (d *dice) text() string {
	if d.n(3) == 0 || len(d.from) == 0 {
		return []string{"", "alias/a", "<&>\"'", "\x00\x01\x1f", "\u2028\ufffe", "😀", "]]>", "a b+c%", "\r\n"}[d.n(9)]
	}
	i := d.n(len(d.from))
	return strings.ToValidUTF8(d.from[i:min(len(d.from), i+1+d.n(32))], "�")
}

// fill gives the fields of a message values, messages within it as deep as depth.
func (d *dice) fill(m protoreflect.Message, depth int) {
	if m.Descriptor().FullName() == "google.protobuf.Timestamp" {
		f := m.Descriptor().Fields()
		m.Set(f.ByName("seconds"), protoreflect.ValueOfInt64([]int64{0, 1764000000, -1, 253402300799, -62135596800}[d.n(5)]))
		m.Set(f.ByName("nanos"), protoreflect.ValueOfInt32(int32(d.n(1_000_000_000))))
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if d.n(4) == 0 || f.Message() != nil && depth == 0 {
			continue
		}
		switch {
		case f.IsMap():
			if f.MapKey().Kind() == protoreflect.StringKind && f.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(protoreflect.ValueOfString(d.text()).MapKey(), protoreflect.ValueOfString(d.text()))
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range d.n(3) {
				if f.Message() != nil {
					d.fill(list.AppendMutable().Message(), depth-1)
				} else {
					list.Append(d.value(f))
				}
			}
		case f.Message() != nil:
			d.fill(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, d.value(f))
		}
	}
}

func (d *dice) value(f protoreflect.FieldDescriptor) protoreflect.Value {
	number := []int64{0, 1, -1, 365, 1<<31 - 1, -1 << 31}[d.n(6)]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(d.n(8) != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(d.n(f.Enum().Values().Len() + 1)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(d.text())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(d.text()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(number)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(number))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(number))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(number))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(number))
	}
	return protoreflect.ValueOfInt32(int32(number))
}
