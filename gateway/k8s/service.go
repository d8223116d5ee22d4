package k8s

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const (
	apiVersion = "v2"
	healthy    = "ok"
	// maxPlaintext is the largest plaintext, in bytes: its ciphertext stays below maxStored. Seeds have 32 bytes.
	maxPlaintext = 512
	// attempts is how often an encryption is made at most while the key is being rotated.
	attempts = 3
)

// binding is the encryption context of everything that a plugin encrypts. It sets that apart from other uses of the key, and a policy can demand it
// by kms:EncryptionContext. It must never change: what is stored could not be decrypted.
func binding() map[string]string { return map[string]string{"kubernetes.io/kms-plugin": "kmsd"} }

// Status tells whether the key can be used, which is tried out, and under which version the API server's data is to be encrypted.
func (p *Plugin) Status(ctx context.Context, _ *kmsapi.StatusRequest) (*kmsapi.StatusResponse, error) {
	healthz := healthy
	if err := p.check(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		healthz = bounded(status.Convert(err).Message(), maxWords)
	}
	return &kmsapi.StatusResponse{Version: apiVersion, Healthz: healthz, KeyId: p.versions.now().String()}, nil
}

// Encrypt encrypts a seed under the current version, which Status tells from then on.
func (p *Plugin) Encrypt(ctx context.Context, r *kmsapi.EncryptRequest) (*kmsapi.EncryptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	sealed, err := p.encrypt(ctx, r.GetPlaintext())
	p.note(ctx, "Encrypt", r.GetUid(), sealed.under, sealed.requestID, err)
	if err != nil {
		return nil, err
	}
	return &kmsapi.EncryptResponse{Ciphertext: sealed.ciphertext, KeyId: sealed.under.String()}, nil
}

// Decrypt decrypts what Encrypt returned, under this or an earlier version.
func (p *Plugin) Decrypt(ctx context.Context, r *kmsapi.DecryptRequest) (*kmsapi.DecryptResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	under, err := p.decryptable(r)
	if err != nil {
		p.note(ctx, "Decrypt", r.GetUid(), version{}, "", err)
		return nil, err
	}
	plaintext, id, err := p.decrypt(ctx, r.GetCiphertext(), under)
	p.note(ctx, "Decrypt", r.GetUid(), under, id, err)
	if err != nil {
		return nil, err
	}
	return &kmsapi.DecryptResponse{Plaintext: plaintext}, nil
}

// decryptable checks a request, and returns the version that it names.
func (p *Plugin) decryptable(r *kmsapi.DecryptRequest) (version, error) {
	under, err := parseVersion(r.GetKeyId())
	switch n := len(r.GetCiphertext()); {
	case err != nil:
		return version{}, invalid("key_id %v", err)
	case n == 0 || n >= maxStored:
		return version{}, invalid("the ciphertext has %d bytes, must have 1 to %d", n, maxStored-1)
	case len(r.GetAnnotations()) > 0:
		return version{}, invalid("there are annotations: this plugin makes none")
	}
	return under, nil
}

// sealed is an encryption.
type sealed struct {
	ciphertext []byte
	under      version
	requestID  string
}

// encrypt encrypts under the current version.
func (p *Plugin) encrypt(ctx context.Context, plaintext []byte) (sealed, error) {
	if n := len(plaintext); n == 0 || n > maxPlaintext {
		return sealed{}, invalid("the plaintext has %d bytes, must have 1 to %d", n, maxPlaintext)
	}
	for range attempts {
		begin := p.versions.begin()
		var header metadata.MD
		out, err := p.crypto.Encrypt(ctx, kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: plaintext, EncryptionContext: binding()}.Build(), grpc.Header(&header))
		if err != nil {
			return sealed{}, failure("encrypting", err)
		}
		s := sealed{out.GetCiphertextBlob(), version{out.GetKeyId(), out.GetKeyMaterialId()}, requestID(header)}
		if n := len(s.ciphertext); n == 0 || n >= maxStored {
			return sealed{}, status.Errorf(codes.Internal, "encrypting: the ciphertext has %d bytes, which Kubernetes does not take", n)
		}
		if _, err := parseVersion(s.under.String()); err != nil {
			return sealed{}, status.Error(codes.Internal, "encrypting: kmsd names the version of the key in a way that this plugin does not know")
		}
		current, err := p.versions.saw(s.under, begin)
		if err != nil {
			return sealed{}, status.Errorf(codes.FailedPrecondition, "encrypting: %v", err)
		}
		if current {
			return s, nil
		}
	}
	return sealed{}, status.Error(codes.Aborted, "encrypting: the key is being rotated: try again")
}

// decrypt decrypts what was encrypted under a version.
func (p *Plugin) decrypt(ctx context.Context, ciphertext []byte, under version) (plaintext []byte, id string, err error) {
	name := p.versions.name(p.keyID)
	if strings.HasPrefix(name, "arn:") && strings.Contains(name, ":key/") && name != under.key {
		return nil, "", invalid("decrypting: key_id names another key than the plugin's")
	}
	var header metadata.MD
	out, err := p.crypto.Decrypt(ctx, kmsv1.DecryptRequest_builder{KeyId: name, CiphertextBlob: ciphertext, EncryptionContext: binding()}.Build(), grpc.Header(&header))
	if err != nil {
		return nil, "", failure("decrypting", err)
	}
	id = requestID(header)
	if (version{out.GetKeyId(), out.GetKeyMaterialId()}) != under {
		clear(out.GetPlaintext())
		return nil, id, invalid("decrypting: the ciphertext was not made under the key_id of the request")
	}
	if err := p.versions.opened(under.key); err != nil {
		clear(out.GetPlaintext())
		return nil, id, status.Errorf(codes.FailedPrecondition, "decrypting: %v", err)
	}
	return out.GetPlaintext(), id, nil
}

// note logs a call: uid is the API server's, id names it in kmsd's audit log.
func (p *Plugin) note(ctx context.Context, operation, uid string, under version, id string, err error) {
	uid = bounded(uid, 64)
	if err != nil {
		p.log.WarnContext(ctx, "a call of Kubernetes failed", "operation", operation, "uid", uid, "key_id", under.String(), "code", status.Code(err).String(), "error", status.Convert(err).Message())
		return
	}
	p.log.InfoContext(ctx, "a call of Kubernetes", "operation", operation, "uid", uid, "key_id", under.String(), "request_id", id)
}

func requestID(header metadata.MD) string {
	if v := header.Get("x-amzn-requestid"); len(v) > 0 {
		return v[0]
	}
	return ""
}

// bounded cuts a text to at most so many bytes of valid UTF-8.
func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

func invalid(format string, args ...any) error {
	return status.Error(codes.InvalidArgument, fmt.Sprintf(format, args...))
}
