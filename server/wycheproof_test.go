package server_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/vectors"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The reasons that a vector can be refused for.
const (
	noMAC        = "KMSInvalidMacException"
	noSignature  = "KMSInvalidSignatureException"
	noCiphertext = "InvalidCiphertextException"
	noMaterial   = "IncorrectKeyMaterialException"
	noRequest    = "ValidationException"
)

// bench is a kmsd whose keys have the material of test vectors: each is imported, wrapped with HPKE, and used in
// batches, whose items are carried out as calls by themselves.
type bench struct {
	*door

	mu   sync.Mutex
	keys map[string]*broughtKey // :: spec, usage and material →
}

// broughtKey is what became of an import.
type broughtKey struct {
	arn    string
	public []byte // SubjectPublicKeyInfo, of the keys whose files say it
	err    error  // the material was refused
}

// The test vectors of Project Wycheproof, through the front door: docs/vectors.md says which, and why not the others.
func TestWycheproof(t *testing.T) {
	b := &bench{door: newDoor(t, nil), keys: map[string]*broughtKey{}}
	for name, run := range map[string]func(*testing.T, *bench){
		"HMAC": wycheproofHMAC, "ECDH": wycheproofECDH, "ML-KEM": wycheproofMLKEM, "KWP": wycheproofKWP,
		"PKCS1": wycheproofPKCS1, "PSS": wycheproofPSS, "OAEP": wycheproofOAEP, "ML-DSA": wycheproofMLDSA,
	} {
		t.Run(name, func(t *testing.T) { run(t, b) })
	}
}

// question is what a vector asks of kmsd.
type question struct {
	skip      string // why it is not asked
	unoffered string // why it must be refused whatever its result
	spec      crypto.Spec
	usage     crypto.Usage
	material  []byte
	public    []byte // what GetPublicKey must return; nil if the file does not say
	ask       func(key string) []*kmsv1.BatchItem
	// verdict says what became of it; nil if all is well with the key. Material that is refused makes the vector
	// refused, without it.
	verdict func(answers []*kmsv1.BatchResult) vectors.Verdict
}

func (q *question) name() string { return fmt.Sprintf("%s %s %x", q.spec, q.usage, q.material) }

// run asks what the vectors of a file ask, and compares as vectors.Run does.
func (b *bench) run(t *testing.T, file, want string, plan func(*vectors.Group, *vectors.Test) question) {
	t.Helper()
	plans := map[int]*question{} // :: tcId →
	var all []*question
	for _, g := range vectors.Read(t, file) {
		for _, v := range g.Tests {
			q := plan(&g, &v)
			plans[v.ID] = &q
			if q.skip == "" {
				all = append(all, &q)
			}
		}
	}
	b.bring(t, all)
	answers := b.answer(t, all)
	vectors.Run(t, file, want, func(_ *vectors.Group, v *vectors.Test) vectors.Verdict {
		q := plans[v.ID]
		if q.skip != "" {
			return vectors.Skip(q.skip)
		}
		k := b.keys[q.name()]
		switch {
		case k.err != nil && reasonOf(status.Convert(k.err).Proto()) != noMaterial:
			return vectors.Failed(k.err)
		case k.err != nil:
			return vectors.Passes(k.err).Unoffered(q.unoffered)
		case q.public != nil && !bytes.Equal(k.public, q.public):
			return vectors.Failed(fmt.Errorf("the public key is %x", k.public))
		case q.verdict == nil:
			return vectors.Passes(nil).Unoffered(q.unoffered)
		}
		return q.verdict(answers[q]).Unoffered(q.unoffered)
	})
}

// bring imports the material of all questions, each only once, some at a time.
func (b *bench) bring(t *testing.T, all []*question) {
	t.Helper()
	work := make(chan *question, len(all))
	for _, q := range all {
		if _, ok := b.keys[q.name()]; !ok {
			b.keys[q.name()] = nil
			work <- q
		}
	}
	close(work)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for q := range work {
				k, err := b.imported(t.Context(), q)
				if err != nil {
					t.Errorf("importing a key of %s: %v", q.spec, err)
				}
				b.mu.Lock()
				b.keys[q.name()] = k
				b.mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, q := range all {
		if b.keys[q.name()] == nil {
			t.FailNow()
		}
	}
}

// imported makes a key of the material of a question.
func (b *bench) imported(ctx context.Context, q *question) (*broughtKey, error) {
	keys := b.Root().Keys()
	made, err := keys.CreateKey(ctx, kmsv1.CreateKeyRequest_builder{
		Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL, KeySpec: kmsv1.KeySpec(kmsv1.KeySpec_value["KEY_SPEC_"+string(q.spec)]),
		KeyUsage: kmsv1.KeyUsage(kmsv1.KeyUsage_value["KEY_USAGE_"+string(q.usage)]),
	}.Build())
	if err != nil {
		return nil, err
	}
	k := &broughtKey{arn: made.GetKeyMetadata().GetArn()}
	algorithm, wrapping := wrappingOf(keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	p, err := keys.GetParametersForImport(ctx, kmsv1.GetParametersForImportRequest_builder{KeyId: k.arn, WrappingAlgorithm: algorithm, WrappingKeySpec: wrapping}.Build())
	if err != nil {
		return nil, err
	}
	wrapped, err := keywrap.Wrap(keywrap.HPKEMLKEM768X25519, p.GetPublicKey(), p.GetImportToken(), q.material)
	if err != nil {
		return nil, err
	}
	_, k.err = keys.ImportKeyMaterial(ctx, kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: k.arn, ImportToken: p.GetImportToken(), EncryptedKeyMaterial: wrapped, ExpirationModel: neverExpires,
	}.Build())
	if k.err != nil || q.usage == crypto.UsageGenerateVerifyMAC || q.usage == crypto.UsageKeyAgreement {
		return k, nil
	}
	public, err := keys.GetPublicKey(ctx, kmsv1.GetPublicKeyRequest_builder{KeyId: k.arn}.Build())
	k.public = public.GetPublicKey()
	return k, err
}

// answer asks all questions whose keys there are.
func (b *bench) answer(t *testing.T, all []*question) map[*question][]*kmsv1.BatchResult {
	t.Helper()
	var items []*kmsv1.BatchItem
	var of []*question
	for _, q := range all {
		if k := b.keys[q.name()]; k.err == nil && q.ask != nil {
			for _, item := range q.ask(k.arn) {
				items, of = append(items, item), append(of, q)
			}
		}
	}
	answers := map[*question][]*kmsv1.BatchResult{}
	for i, r := range b.batches(t, items) {
		answers[of[i]] = append(answers[of[i]], r)
	}
	return answers
}

// batches carries out items, and returns as many results.
func (b *bench) batches(t *testing.T, items []*kmsv1.BatchItem) []*kmsv1.BatchResult {
	t.Helper()
	var results []*kmsv1.BatchResult
	for some := range slices.Chunk(items, 256) {
		out, err := kmsv1.NewBatchServiceClient(b.Root().Conn()).BatchCrypto(t.Context(), batchOf(some...))
		if err != nil || len(out.GetResults()) != len(some) {
			t.Fatalf("a batch of %d items: %d results, %v", len(some), len(out.GetResults()), err)
		}
		results = append(results, out.GetResults()...)
	}
	return results
}

func reasonOf(s *spb.Status) string {
	for _, d := range status.FromProto(s).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// failure is the error of an item, nil if it has none.
func failure(r *kmsv1.BatchResult) error {
	if r.HasError() {
		return status.FromProto(r.GetError()).Err()
	}
	return nil
}

// gives is the verdict on an item that gave got, or an error, which must have the reason.
func gives(v *vectors.Test, r *kmsv1.BatchResult, got []byte, reason string, want []byte) vectors.Verdict {
	err := failure(r)
	if err != nil && reasonOf(r.GetError()) != reason {
		return vectors.Failed(err)
	}
	return vectors.Gives(v, got, err, want)
}

// someWhenShort returns the first row of a table under -short, all of them else.
func someWhenShort[T any](rows []T) []T {
	if testing.Short() {
		return rows[:1]
	}
	return rows
}
