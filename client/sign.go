package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"google.golang.org/grpc/credentials"
)

const (
	service         = "kms"
	unsignedPayload = "UNSIGNED-PAYLOAD" // TLS protects the body
	hashHeader      = "X-Amz-Content-Sha256"
	dateHeader      = "X-Amz-Date"
	nonceHeader     = "X-Kmsd-Nonce"
)

// signer signs calls with SigV4 over method, host, date and nonce. A call that changes nothing is signed once a second and
// method, and without a nonce: the server takes such a signature again. Every attempt of any other call is signed by itself.
type signer struct {
	sign   func(method, nonce string, at time.Time) (map[string]string, error) // a closure, so that the secret does not print
	recent map[string]*atomic.Pointer[signature]                               // :: reading method → its last signature
}

var _ credentials.PerRPCCredentials = (*signer)(nil)

// signature is the metadata of a call signed in one second. It does not change.
type signature struct {
	second   int64
	metadata map[string]string
}

func newSigner(c Credentials) *signer {
	s := &signer{recent: map[string]*atomic.Pointer[signature]{}}
	for _, name := range reading() {
		s.recent[name] = new(atomic.Pointer[signature])
	}
	v4Signer := v4.NewSigner()
	s.sign = func(method, nonce string, at time.Time) (map[string]string, error) {
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: c.Endpoint, Path: method}, Header: http.Header{}}
		r.Header.Set(hashHeader, unsignedPayload)
		if nonce != "" {
			r.Header.Set(nonceHeader, nonce)
		}
		key := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey.Expose())}
		if err := v4Signer.SignHTTP(context.Background(), key, r, unsignedPayload, service, c.Region, at); err != nil {
			return nil, fmt.Errorf("signing the call: %w", err)
		}
		md := map[string]string{"authorization": r.Header.Get("Authorization"), "x-amz-date": r.Header.Get(dateHeader), "x-amz-content-sha256": unsignedPayload}
		if nonce != "" {
			md["x-kmsd-nonce"] = nonce
		}
		return md, nil
	}
	return s
}

// GetRequestMetadata returns the headers that sign a call. gRPC asks for each attempt.
func (s *signer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	if !ok {
		return nil, errors.New("signing the call: its method is not known")
	}
	now := time.Now()
	slot, reads := s.recent[info.Method]
	if !reads {
		return s.sign(info.Method, rand.Text(), now)
	}
	second := now.Unix()
	if last := slot.Load(); last != nil && last.second == second {
		return last.metadata, nil // gRPC only reads it
	}
	md, err := s.sign(info.Method, "", now)
	if err != nil {
		return nil, err
	}
	slot.Store(&signature{second, md})
	return md, nil
}

// RequireTransportSecurity is true: a signature that is seen can be repeated.
func (s *signer) RequireTransportSecurity() bool { return true }
