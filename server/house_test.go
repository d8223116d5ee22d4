package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/internal/logtest"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	"github.com/kmsd/kmsd/storage"
)

// house is a Server on real files whose domain key the test knows. It is asked without a network, as alice, who may do everything in her account, by
// the certificate of her connection.
type house struct {
	t      *testing.T
	dir    string
	s      *Server
	store  *storage.Store
	domain crypto.Secret
	log    *logtest.Buffer
	ctx    context.Context
	rows   map[string]*method

	foreign string // another account
}

const homeAccount = "111122223333"

var homePlace = keystore.Place{Partition: "aws", Region: "local"}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), domain: crypto.RandomSecret(32), log: &logtest.Buffer{}, rows: map[string]*method{}}
	at := storage.Config{Path: filepath.Join(h.dir, "store.db"), Domain: h.domain}
	h.check(storage.Create(at))
	var err error
	h.store, err = storage.Open(at)
	h.check(err)
	t.Cleanup(func() { h.store.Close() })
	var root iam.AccessKey
	h.check(h.store.Update(func(tx *storage.Tx) (err error) {
		root, err = iam.Bootstrap(tx, homeAccount)
		return err
	}))
	people, err := iam.Open(iam.Config{Store: h.store})
	h.check(err)
	keys, err := keystore.Open(keystore.Config{Store: h.store, Place: homePlace})
	h.check(err)
	log, err := audit.Create(audit.Config{Dir: filepath.Join(h.dir, "audit"), Node: audit.Node{ID: "house"}, SegmentBytes: 1 << 20})
	h.check(err)
	t.Cleanup(func() { log.Close() })
	h.s, err = New(Config{
		Store: h.store, People: people, Keys: keys, Place: homePlace, Audit: log, Markers: crypto.NewMAC(crypto.RandomSecret(32)),
		TLS: &tls.Config{}, Log: slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: prometheus.NewRegistry(),
	})
	h.check(err)
	rows := table()
	_, err = services(rows)
	h.check(err)
	for _, m := range rows {
		h.rows[m.name] = m
	}
	credential, _ := people.Snapshot().AccessKey(root.ID)
	who, err := people.Snapshot().Caller(credential)
	h.check(err)
	made, err := people.CreateAccount(h.may(who, authz.OrganizationsCreateAccount, authz.Resource{}), iam.CreateAccount{Name: "foreign"})
	h.check(err)
	h.foreign = made.Account.ID
	h.moveIn(who)
	return h
}

func (h *house) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// may asks authz for what a test needs to set the scene.
func (h *house) may(who *authz.Caller, a authz.Action, r authz.Resource) authz.Grant {
	h.t.Helper()
	g, d := authz.Authorize(who, a, &r, nil)
	if d.Verdict != authz.Allow {
		h.t.Fatalf("%v on %s: %v", a, r.ARN, d)
	}
	return g
}

// moveIn makes alice and her connection.
func (h *house) moveIn(root *authz.Caller) {
	h.t.Helper()
	people := h.s.people
	arn := people.Snapshot().NewUserARN(homeAccount, "/", "alice")
	alice := authz.Resource{Kind: authz.IAMEntity, Account: homeAccount, ARN: arn}
	_, err := people.CreateUser(h.may(root, authz.IAMCreateUser, alice), homeAccount, iam.NewUser{Name: "alice"})
	h.check(err)
	_, err = people.PutUserPolicy(h.may(root, authz.IAMPutUserPolicy, alice), homeAccount, "alice", "all", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:*","iam:*","sts:*","organizations:*","authz:*"],"Resource":"*"}]}`)
	h.check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.check(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	h.check(err)
	cert, err := people.CreateClientCertificate(h.may(root, authz.IAMCreateClientCertificate, alice), homeAccount, "alice",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), 0)
	h.check(err)
	block, _ := pem.Decode(cert.PEM())
	parsed, err := x509.ParseCertificate(block.Bytes)
	h.check(err)
	h.ctx = peer.NewContext(h.t.Context(), &peer.Peer{AuthInfo: &connection{certificate: parsed, fingerprint: cert.Fingerprint}})
}

// ask makes a call of a method.
func (h *house) ask(name string, r proto.Message) (proto.Message, error) {
	return h.s.serve(h.ctx, h.rows[name], arrived(r))
}

// arrived is what gRPC gives a handler to read a request with.
func arrived(r proto.Message) func(any) error {
	return func(v any) error {
		proto.Merge(v.(*received).message, r)
		return nil
	}
}

func (h *house) events(name string) (all []*audit.Record) {
	h.t.Helper()
	h.check(audit.Scan(h.t.Context(), filepath.Join(h.dir, "audit"), audit.Filter{Event: name}, func(r *audit.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// foreignKey makes a key of another account, with a policy or its default, and a ciphertext under it.
func (h *house) foreignKey(policy string) (*keystore.Key, []byte) {
	h.t.Helper()
	owner := &authz.Caller{Kind: authz.Root, Account: h.foreign, ID: h.foreign, ARN: "arn:aws:iam::" + h.foreign + ":root"}
	if policy == "" {
		policy = keystore.DefaultPolicy("aws", h.foreign)
	}
	p, err := keystore.CompilePolicy(policy, h.s.people.Snapshot().PrincipalID)
	h.check(err)
	k, err := h.s.keys.CreateKey(h.may(owner, authz.KMSCreateKey, authz.Resource{Kind: authz.None}), keystore.NewKey{Account: h.foreign, Policy: p})
	h.check(err)
	u, err := k.Use(h.may(owner, authz.KMSEncrypt, k.Resource))
	h.check(err)
	blob, err := u.Encrypt(nil, []byte("foreign plaintext"), crypto.Context{})
	h.check(err)
	return k, blob
}

// Tenants: of a key of another account nothing can be told from a key that is not there, whatever is asked, and however it is named.
func TestForeignKeyLooksAbsent(t *testing.T) {
	h := newHouse(t)
	k, blob := h.foreignTagged("alias/payroll")
	byAlias, byNoAlias := homePlace.AliasARN(h.foreign, "alias/payroll"), homePlace.AliasARN(h.foreign, "alias/nothere")
	absent := crypto.NewKeyID()
	forged := bytes.Clone(blob)
	copy(forged[2:], absent[:]) // names a key that is not there
	type pair struct{ foreign, absent proto.Message }
	byName := func(make func(arn string) proto.Message) pair {
		return pair{make(k.ARN), make(homePlace.KeyARN(h.foreign, absent))}
	}
	pairs := map[string][]pair{}
	for name := range h.rows {
		m := h.rows[name]
		field := requestKeyField(t, m)
		if field == "" {
			continue
		}
		pairs[name] = append(pairs[name], pair{requestWithKey(t, m, field, byAlias), requestWithKey(t, m, field, byNoAlias)})
		pairs[name] = append(pairs[name], byName(func(arn string) proto.Message { return requestWithKey(t, m, field, arn) }))
	}
	pairs[kmsv1.CryptoService_Decrypt_FullMethodName] = append(pairs[kmsv1.CryptoService_Decrypt_FullMethodName],
		pair{kmsv1.DecryptRequest_builder{CiphertextBlob: blob}.Build(), kmsv1.DecryptRequest_builder{CiphertextBlob: forged}.Build()})
	pairs[kmsv1.CryptoService_ReEncrypt_FullMethodName] = []pair{{
		kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, DestinationKeyId: k.ARN}.Build(), kmsv1.ReEncryptRequest_builder{CiphertextBlob: forged, DestinationKeyId: k.ARN}.Build(),
	}, {
		kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, DestinationKeyId: byAlias}.Build(), kmsv1.ReEncryptRequest_builder{CiphertextBlob: forged, DestinationKeyId: byAlias}.Build(),
	}, {
		kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, SourceKeyId: k.ARN, DestinationKeyId: byAlias}.Build(),
		kmsv1.ReEncryptRequest_builder{CiphertextBlob: blob, SourceKeyId: homePlace.KeyARN(h.foreign, absent), DestinationKeyId: byNoAlias}.Build(),
	}}
	if len(pairs) < 12 {
		t.Fatalf("only %d methods name a key: the search is broken", len(pairs))
	}
	renamed := strings.NewReplacer(k.ID.String(), absent.String(), "alias/payroll", "alias/nothere")
	explained := 0
	for name, list := range pairs {
		for _, p := range list {
			_, foreign := h.ask(name, p.foreign)
			_, none := h.ask(name, p.absent)
			a, b := status.Convert(foreign), status.Convert(none)
			said := renamed.Replace(a.Message())
			if a.Code() != b.Code() || said != b.Message() || a.Code() == codes.OK {
				t.Errorf("%s of a foreign key: %v\nof one that is not there: %v", name, foreign, none)
			}
			why, whyNone := timeless(h.explained(h.ask, foreign)), timeless(h.explained(h.ask, none))
			if renamed.Replace(why) != renamed.Replace(whyNone) {
				t.Errorf("%s of a foreign key is explained:\n%s\nof one that is not there:\n%s", name, why, whyNone)
			}
			if strings.Contains(whyNone, "kms:") {
				explained++
			}
		}
	}
	if explained < 20 {
		t.Errorf("%d denials were explained: too few", explained)
	}
	for _, e := range h.events("Decrypt") {
		if e.Resources[0].Tenant == h.foreign && e.Decision.Result != audit.ResultDeny {
			t.Errorf("the event of a foreign key has the decision %s, want %s", e.Decision.Result, audit.ResultDeny)
		}
	}
}

// requestKeyField is the field of a method's request that names a key by ARN, or "".
func requestKeyField(t *testing.T, m *method) string {
	t.Helper()
	for _, name := range []string{"key_id", "target_key_id"} {
		if emptyRequest(t, m).ProtoReflect().Descriptor().Fields().ByName(protoName(name)) != nil {
			return name
		}
	}
	return ""
}

// A foreign key whose policy lets our account use it can be used by those whom our policies let.
func TestForeignKeyThatTrustsUs(t *testing.T) {
	h := newHouse(t)
	_, blob := h.foreignKey(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + h.foreign + `:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + homeAccount + `:root"},"Action":"kms:Decrypt","Resource":"*"}]}`)
	out, err := h.ask(kmsv1.CryptoService_Decrypt_FullMethodName, kmsv1.DecryptRequest_builder{CiphertextBlob: blob}.Build())
	if err != nil || string(out.(*kmsv1.DecryptResponse).GetPlaintext()) != "foreign plaintext" {
		t.Errorf("Decrypt under a foreign key that trusts our account = %v, %v", out, err)
	}
}

// A panic, wherever it happens, is one event and one answer, and what it carried is nowhere.
func TestPanicInACall(t *testing.T) {
	h := newHouse(t)
	const secret = "the secret that the panic carries"
	row := *h.rows[kmsv1.CryptoService_GenerateRandom_FullMethodName]
	handle := row
	handle.handle = func(*call, func(any) error) (proto.Message, error) { panic(secret) }
	fails := row
	fails.handle = func(*call, func(any) error) (proto.Message, error) { panic(errors.New(secret)) }
	request := kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 32}.Build()
	for name, ask := range map[string]func() (proto.Message, error){
		"in the handler":              func() (proto.Message, error) { return h.s.serve(h.ctx, &handle, arrived(request)) },
		"in the handler, of an error": func() (proto.Message, error) { return h.s.serve(h.ctx, &fails, arrived(request)) },
		"in the decoding":             func() (proto.Message, error) { return h.s.serve(h.ctx, &row, func(any) error { panic(secret) }) },
	} {
		out, err := ask()
		if st := status.Convert(err); out != nil || st.Code() != codes.Internal || st.Message() != "internal error" || len(st.Details()) != 2 {
			t.Errorf("a panic %s = %v, %v, want %v and no message", name, out, err, codes.Internal)
		}
	}
	events := h.events("GenerateRandom")
	if len(events) != 3 {
		t.Errorf("%d events of 3 calls", len(events))
	}
	for _, e := range events {
		if e.Outcome.Status != "INTERNAL" || e.Outcome.ErrorClass != "Panic" || e.Actor.UserName != "alice" {
			t.Errorf("the event of a panic: %s %s of %q, want INTERNAL Panic of alice", e.Outcome.Status, e.Outcome.ErrorClass, e.Actor.UserName)
		}
		if bytes.Contains(e.Raw, []byte(secret)) {
			t.Errorf("the event holds what the panic carried: %s", e.Raw)
		}
	}
	if log := h.log.String(); strings.Contains(log, secret) || strings.Count(log, "panic in a call") != 3 {
		t.Errorf("the log: %s", log)
	}
	if _, err := h.ask(kmsv1.CryptoService_GenerateRandom_FullMethodName, request); err != nil {
		t.Errorf("the call after the panics: %v", err)
	}
}

// A call that ends before its work does has its event, which says so, and no answer.
func TestCallThatIsOver(t *testing.T) {
	h := newHouse(t)
	for name, make := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"CANCELLED": func(c context.Context) (context.Context, context.CancelFunc) {
			c, cancel := context.WithCancel(c)
			cancel()
			return c, cancel
		},
		"DEADLINE_EXCEEDED": func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(c, time.Now().Add(-time.Second))
		},
	} {
		ctx, cancel := make(h.ctx)
		out, err := h.s.serve(ctx, h.rows[kmsv1.KeyService_CreateKey_FullMethodName], arrived(&kmsv1.CreateKeyRequest{}))
		cancel()
		events := h.events("CreateKey")
		if err == nil || out != nil || len(events) == 0 || events[len(events)-1].Outcome.Status != name {
			t.Errorf("a call that is %s: %v, %v with %d events", name, out, err, len(events))
		}
	}
	ctx, cancel := context.WithCancel(h.ctx)
	row, answer := *h.rows[kmsv1.CryptoService_GenerateRandom_FullMethodName], kmsv1.GenerateRandomResponse_builder{Plaintext: []byte("secret")}.Build()
	row.handle = func(*call, func(any) error) (proto.Message, error) {
		cancel() // while the work is done
		return answer, nil
	}
	out, err := h.s.serve(ctx, &row, nil)
	events := h.events("GenerateRandom")
	if status.Code(err) != codes.Canceled || out != nil || len(events) != 1 || events[0].Outcome.Status != "CANCELLED" {
		t.Errorf("a call that is cancelled while it works: %v, %v with %d events", out, err, len(events))
	}
	if !bytes.Equal(answer.GetPlaintext(), make([]byte, 6)) {
		t.Errorf("what is not answered is still there: %q", answer.GetPlaintext())
	}
	if events := h.events("CreateKey"); len(events) != 2 || h.s.keys.Snapshot().Len() != 0 {
		t.Errorf("%d events and %d keys, want 2 and none", len(events), h.s.keys.Snapshot().Len())
	}
}

// Secrets at rest: nothing of what the store seals is in any file, nor in the log.
func TestNoSecretAtRest(t *testing.T) {
	h := newHouse(t)
	h.foreignKey("")
	for range 3 {
		out, err := h.ask(kmsv1.KeyService_CreateKey_FullMethodName, &kmsv1.CreateKeyRequest{})
		h.check(err)
		id := out.(*kmsv1.CreateKeyResponse).GetKeyMetadata().GetKeyId()
		_, err = h.ask(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: id}.Build())
		h.check(err)
		_, err = h.ask(kmsv1.CryptoService_Encrypt_FullMethodName, kmsv1.EncryptRequest_builder{KeyId: id, Plaintext: []byte("a plaintext")}.Build())
		h.check(err)
	}
	secrets := map[string][]byte{"domain key": h.domain.Expose(), "plaintext": []byte("a plaintext")}
	h.check(h.store.View(func(tx *storage.Tx) error {
		for _, kind := range []storage.Kind{"key-material", "access-key", "certificate-authority"} {
			n := len(secrets)
			err := tx.Walk(kind, "", func(path string, value []byte) error {
				secrets[string(kind)+" "+path] = bytes.Clone(value[len(value)-32:]) // the secret is the end of each of these records
				return nil
			})
			if err != nil || len(secrets) == n {
				t.Errorf("%d records %s, %v", len(secrets)-n, kind, err)
			}
		}
		return nil
	}))
	if len(secrets) < 2+7+1+1 {
		t.Fatalf("%d secrets: too few", len(secrets))
	}
	places := map[string][]byte{"the log": []byte(h.log.String())}
	h.check(filepath.WalkDir(h.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			places[e.Name()], err = os.ReadFile(path)
		}
		return err
	}))
	for name, secret := range secrets {
		for place, content := range places {
			for _, form := range [][]byte{
				secret, []byte(hex.EncodeToString(secret)), []byte(strings.ToUpper(hex.EncodeToString(secret))),
				[]byte(base64.RawStdEncoding.EncodeToString(secret)), []byte(base64.RawURLEncoding.EncodeToString(secret)),
			} {
				if bytes.Contains(content, form) {
					t.Errorf("%s holds the secret of %s", place, name)
				}
			}
		}
	}
	if len(places) < 3 {
		t.Errorf("searched %d places only", len(places))
	}
}
