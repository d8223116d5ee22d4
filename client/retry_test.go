package client

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// failFirst refuses the first n calls with err.
func failFirst(n int64, err error) func(seen) error {
	var calls atomic.Int64
	return func(seen) error {
		if calls.Add(1) <= n {
			return err
		}
		return nil
	}
}

func random(ctx context.Context, c *Client) error {
	_, err := c.Crypto().GenerateRandom(ctx, kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 8}.Build())
	return err
}

func TestRepeatsWhatMayBeRepeated(t *testing.T) {
	down := status.Error(codes.Unavailable, "down")
	for _, tt := range []struct {
		name  string
		call  func(context.Context, *Client) error
		fails int64
		err   error
		calls int
		ok    bool
	}{
		{"a call that reads", random, 3, down, 4, true},
		{"a call that reads, in vain", random, 9, down, 4, false},
		{"a call that was refused", random, 9, status.Error(codes.PermissionDenied, "no"), 1, false},
		{"a new key, by its token", func(ctx context.Context, c *Client) error {
			_, err := c.Keys().CreateKey(ctx, &kmsv1.CreateKeyRequest{})
			return err
		}, 3, down, 4, true},
		{"a rotation, by its token", func(ctx context.Context, c *Client) error {
			_, err := c.Keys().RotateKeyOnDemand(ctx, &kmsv1.RotateKeyOnDemandRequest{})
			return err
		}, 2, down, 3, true},
		{"any change of a key, by its token", func(ctx context.Context, c *Client) error {
			_, err := c.Keys().EnableKey(ctx, &kmsv1.EnableKeyRequest{})
			return err
		}, 1, down, 2, true},
		{"not a change without a token", func(ctx context.Context, c *Client) error {
			_, err := c.STS().AssumeRole(ctx, &stsv1.AssumeRoleRequest{})
			return err
		}, 1, down, 1, false},
		{"not a change of users", func(ctx context.Context, c *Client) error {
			_, err := c.IAM().CreateAccessKey(ctx, &iamv1.CreateAccessKeyRequest{})
			return err
		}, 1, down, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t)
			s.set(failFirst(tt.fails, tt.err), nil)
			err := tt.call(t.Context(), s.client(t, nil))
			if calls := s.seen(); len(calls) != tt.calls || (err == nil) != tt.ok {
				t.Errorf("%d calls and %v, want %d calls and success %v", len(calls), err, tt.calls, tt.ok)
			}
		})
	}
}

func TestEveryAttemptOfAChangeHasItsNonceAndOneToken(t *testing.T) {
	s := newFakeServer(t)
	s.set(failFirst(2, status.Error(codes.Unavailable, "down")), nil)
	given := &kmsv1.CreateKeyRequest{}
	if _, err := s.client(t, nil).Keys().CreateKey(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	nonces, tokens := map[string]bool{}, map[string]bool{}
	for _, call := range s.seen() {
		nonces[call.md["x-kmsd-nonce"][0]] = true
		tokens[call.request.(*kmsv1.CreateKeyRequest).GetClientToken()] = true
	}
	if len(nonces) != 3 || len(tokens) != 1 || tokens[""] {
		t.Errorf("3 attempts had %d nonces and the tokens %v, want 3 and one", len(nonces), tokens)
	}
	if given.GetClientToken() != "" {
		t.Error("the caller's request was changed")
	}
	if _, err := s.client(t, nil).Keys().CreateKey(t.Context(), kmsv1.CreateKeyRequest_builder{ClientToken: "mine"}.Build()); err != nil {
		t.Fatal(err)
	}
	if got := s.seen()[3].request.(*kmsv1.CreateKeyRequest).GetClientToken(); got != "mine" {
		t.Errorf("client token %q, want the caller's", got)
	}
}

// throttled is a refusal that asks to come back.
func throttled(t *testing.T, after time.Duration) error {
	t.Helper()
	st, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(
		&errdetails.ErrorInfo{Reason: "ThrottlingException", Domain: "kms"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

func TestComesBackWhenTheServerSays(t *testing.T) {
	s := newFakeServer(t)
	s.set(failFirst(2, throttled(t, 30*time.Millisecond)), nil)
	c := s.client(t, nil)
	began := time.Now()
	if _, err := c.Keys().EnableKey(t.Context(), &kmsv1.EnableKeyRequest{}); err != nil {
		t.Errorf("EnableKey = %v, want nil at the third attempt", err)
	}
	if took := time.Since(began); took < 60*time.Millisecond || len(s.seen()) != 3 {
		t.Errorf("%d attempts in %v, want 3 in at least 60ms", len(s.seen()), took)
	}
	s.set(failFirst(9, throttled(t, time.Hour)), nil)
	began = time.Now()
	if err := random(t.Context(), c); !Is(err, "ThrottlingException") || time.Since(began) > 5*time.Second {
		t.Errorf("GenerateRandom = %v after %v, want ThrottlingException at once: there is no time to wait", err, time.Since(began))
	}
	s.set(failFirst(9, throttled(t, 0)), nil)
	before := len(s.seen())
	if err := random(t.Context(), c); !Is(err, "ThrottlingException") || len(s.seen())-before != maxAttempts {
		t.Errorf("GenerateRandom = %v after %d attempts, want ThrottlingException after %d", err, len(s.seen())-before, maxAttempts)
	}
	s.set(failFirst(9, throttled(t, 5*time.Second)), nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began = time.Now()
	if err := random(ctx, c); err == nil || time.Since(began) > 4*time.Second {
		t.Errorf("GenerateRandom = %v after %v, want an error when the caller has gone", err, time.Since(began))
	}
}

func TestErrors(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	st, err := status.New(codes.InvalidArgument, "limit: is 7").WithDetails(
		&errdetails.ErrorInfo{Reason: "ValidationException", Domain: "kms"}, &errdetails.RequestInfo{RequestId: "r-1"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "limit", Description: "is 7"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.set(func(seen) error { return st.Err() }, nil)
	err = random(t.Context(), c)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("GenerateRandom = %T, want *Error", err)
	}
	if e.Code != codes.InvalidArgument || e.Reason != "ValidationException" || e.RequestID != "r-1" || e.Message != "limit: is 7" || len(e.Fields) != 1 || e.Fields[0] != (Field{"limit", "is 7"}) {
		t.Errorf("GenerateRandom = %+v", e)
	}
	if want := "limit: is 7 (ValidationException, request r-1)"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
	if !Is(err, "ValidationException") || Is(err, "AccessDeniedException") || Is(nil, "") || Is(errors.New("x"), "") {
		t.Error("Is does not tell reasons apart")
	}
	if status.Code(err) != codes.InvalidArgument || len(status.Convert(err).Details()) != 3 {
		t.Errorf("status.Convert = %v with %d details, want the server's", status.Code(err), len(status.Convert(err).Details()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := random(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("GenerateRandom after cancel = %v, want context.Canceled", err)
	}
}

// TestSpoiledAnswersAreRefused: whatever checksum is wrong or missing, there is no answer.
func TestSpoiledAnswersAreRefused(t *testing.T) {
	calls := map[string]func(context.Context, kmsv1.CryptoServiceClient) (proto.Message, error){
		"Encrypt": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.Encrypt(ctx, kmsv1.EncryptRequest_builder{Plaintext: []byte("x")}.Build())
			return m, err
		},
		"Decrypt": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.Decrypt(ctx, kmsv1.DecryptRequest_builder{CiphertextBlob: []byte("x")}.Build())
			return m, err
		},
		"ReEncrypt": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.ReEncrypt(ctx, kmsv1.ReEncryptRequest_builder{CiphertextBlob: []byte("x")}.Build())
			return m, err
		},
		"GenerateDataKey": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.GenerateDataKey(ctx, &kmsv1.GenerateDataKeyRequest{})
			return m, err
		},
		"GenerateDataKeyWithoutPlaintext": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.GenerateDataKeyWithoutPlaintext(ctx, &kmsv1.GenerateDataKeyWithoutPlaintextRequest{})
			return m, err
		},
		"GenerateRandom": func(ctx context.Context, c kmsv1.CryptoServiceClient) (proto.Message, error) {
			m, err := c.GenerateRandom(ctx, kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 9}.Build())
			return m, err
		},
	}
	s := newFakeServer(t)
	c := s.client(t, nil)
	spoils := 0
	for name, call := range calls {
		s.set(nil, nil)
		good, err := call(t.Context(), c.Crypto())
		if err != nil {
			t.Errorf("%s = %v, want nil", name, err)
			continue
		}
		fields := good.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			field := string(f.Name())
			if !strings.HasSuffix(field, "_crc32c") && f.Kind().String() != "bytes" {
				continue
			}
			spoils++
			s.set(nil, func(m proto.Message) { // the field is as if it had never been set
				m.ProtoReflect().Clear(f)
			})
			if got, err := call(t.Context(), c.Crypto()); !errors.Is(err, ErrIntegrity) || got.ProtoReflect().IsValid() {
				t.Errorf("%s without %s = %v, %v, want nil and ErrIntegrity", name, field, got, err)
			}
		}
	}
	if spoils < 17 {
		t.Errorf("spoiled %d fields, want at least 17", spoils)
	}
}

// TestRequestsKeepAllTheirFields: a request that gets a checksum loses nothing, and the caller's is not changed.
func TestRequestsKeepAllTheirFields(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	requests := []proto.Message{&kmsv1.EncryptRequest{}, &kmsv1.DecryptRequest{}, &kmsv1.ReEncryptRequest{}}
	for _, r := range requests {
		m := r.ProtoReflect()
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			switch {
			case strings.HasSuffix(string(f.Name()), "_crc32c"):
			case f.IsMap():
				v := m.Mutable(f).Map()
				v.Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString(string(f.Name())))
			case f.IsList() && f.Enum() != nil:
				m.Mutable(f).List().Append(protoreflect.ValueOfEnum(1))
			case f.IsList() && f.Kind().String() == "string":
				m.Mutable(f).List().Append(protoreflect.ValueOfString(string(f.Name())))
			case f.Kind().String() == "bool":
				m.Set(f, protoreflect.ValueOfBool(true))
			case f.Kind().String() == "bytes":
				m.Set(f, protoreflect.ValueOfBytes([]byte(f.Name())))
			case f.Kind().String() == "string":
				m.Set(f, protoreflect.ValueOfString(string(f.Name())))
			case f.Enum() != nil:
				m.Set(f, protoreflect.ValueOfEnum(1))
			default:
				t.Fatalf("%s has a field %s of a kind that this test does not know", m.Descriptor().Name(), f.Name())
			}
		}
		given := proto.Clone(r)
		var err error
		switch r := r.(type) {
		case *kmsv1.EncryptRequest:
			_, err = c.Crypto().Encrypt(t.Context(), r)
		case *kmsv1.DecryptRequest:
			_, err = c.Crypto().Decrypt(t.Context(), r)
		case *kmsv1.ReEncryptRequest:
			_, err = c.Crypto().ReEncrypt(t.Context(), r)
		}
		if err != nil || !proto.Equal(r, given) {
			t.Errorf("%s = %v, and the request is now %v, want nil and %v", m.Descriptor().Name(), err, r, given)
		}
		calls := s.seen()
		sent := proto.Clone(calls[len(calls)-1].request)
		for i := range fields.Len() {
			if f := fields.Get(i); strings.HasSuffix(string(f.Name()), "_crc32c") {
				if !sent.ProtoReflect().Has(f) {
					t.Errorf("%s was sent without %s", m.Descriptor().Name(), f.Name())
				}
				sent.ProtoReflect().Clear(f)
			}
		}
		if !proto.Equal(sent, given) {
			t.Errorf("sent %v, want %v", sent, given)
		}
	}
}
