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
	tokenHeader     = "X-Amz-Security-Token"
)

// signer signs calls with SigV4 over method, host, date, nonce and the token of a session. A call that changes nothing is signed once a
// second and method, and without a nonce: the server takes such a signature again. Every attempt of any other call is signed by itself.
type signer struct {
	v4       *v4.Signer
	retrieve func(context.Context) (*Credentials, error) // the credentials that are good now; they do not change
	endpoint string
	recent   map[string]*atomic.Pointer[signature] // :: reading method → its last signature
}

var _ credentials.PerRPCCredentials = (*signer)(nil)

// signature is the metadata of a call signed in one second by one access key. It does not change.
type signature struct {
	second   int64
	keyID    string
	metadata map[string]string
}

func newSigner(retrieve func(context.Context) (*Credentials, error), endpoint string) *signer {
	s := &signer{v4: v4.NewSigner(), retrieve: retrieve, endpoint: endpoint, recent: map[string]*atomic.Pointer[signature]{}}
	for _, name := range reading() {
		s.recent[name] = new(atomic.Pointer[signature])
	}
	return s
}

// sign signs one call.
func (s *signer) sign(c *Credentials, method, nonce string, at time.Time) (map[string]string, error) {
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: s.endpoint, Path: method}, Header: http.Header{}}
	r.Header.Set(hashHeader, unsignedPayload)
	if nonce != "" {
		r.Header.Set(nonceHeader, nonce)
	}
	key := aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey.Expose()), SessionToken: string(c.SessionToken.Expose())}
	if err := s.v4.SignHTTP(context.Background(), key, r, unsignedPayload, service, c.Region, at); err != nil {
		return nil, fmt.Errorf("signing the call: %w", err)
	}
	md := map[string]string{"authorization": r.Header.Get("Authorization"), "x-amz-date": r.Header.Get(dateHeader), "x-amz-content-sha256": unsignedPayload}
	if nonce != "" {
		md["x-kmsd-nonce"] = nonce
	}
	if key.SessionToken != "" {
		md["x-amz-security-token"] = r.Header.Get(tokenHeader)
	}
	return md, nil
}

// GetRequestMetadata returns the headers that sign a call. gRPC asks for each attempt.
func (s *signer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	if !ok {
		return nil, errors.New("signing the call: its method is not known")
	}
	return s.metadata(ctx, info.Method)
}

// metadata returns the headers that sign a call of a method.
func (s *signer) metadata(ctx context.Context, method string) (map[string]string, error) {
	c, err := s.retrieve(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	slot, reads := s.recent[method]
	if !reads {
		return s.sign(c, method, rand.Text(), now)
	}
	second := now.Unix()
	if last := slot.Load(); last != nil && last.second == second && last.keyID == c.AccessKeyID {
		return last.metadata, nil // gRPC only reads it
	}
	md, err := s.sign(c, method, "", now)
	if err != nil {
		return nil, err
	}
	slot.Store(&signature{second, c.AccessKeyID, md})
	return md, nil
}

// RequireTransportSecurity is true: a signature that is seen can be repeated.
func (s *signer) RequireTransportSecurity() bool { return true }
