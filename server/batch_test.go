package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func batchClient(k *kmstest.KMS, c client.Credentials) kmsv1.BatchServiceClient {
	return kmsv1.NewBatchServiceClient(k.Client(c).Conn())
}

func batchOf(items ...*kmsv1.BatchItem) *kmsv1.BatchCryptoRequest {
	return kmsv1.BatchCryptoRequest_builder{Items: items}.Build()
}

func item(b kmsv1.BatchItem_builder) *kmsv1.BatchItem { return b.Build() }

func randomItem(n int32) *kmsv1.BatchItem {
	return item(kmsv1.BatchItem_builder{GenerateRandom: kmsv1.GenerateRandomRequest_builder{NumberOfBytes: n}.Build()})
}

// itemEvent is what the tests read of an event.
type itemEvent struct {
	EventName string
	RequestID string
	EventID   string
	Request   struct {
		BatchRequestID string
		BatchIndex     *int
		Items, Failed  *int
	}
	Outcome struct{ Status, ErrorCode, ErrorClass string }
	Actor   struct{ Arn, UserName string }
}

// eventsOf reads events that f lets through, with their members.
func eventsOf(t *testing.T, k *kmstest.KMS, f audit.Filter) (all []itemEvent) {
	t.Helper()
	for _, r := range k.Events(f) {
		var e itemEvent
		if err := json.Unmarshal(r.Raw, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// said is what an item's error says: code, reason, message, and whether it names the event of the item.
func said(t *testing.T, r *kmsv1.BatchResult) string {
	t.Helper()
	if !r.HasError() {
		return "OK"
	}
	reason := ""
	for _, d := range status.FromProto(r.GetError()).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RequestInfo:
			if d.GetRequestId() != r.GetRequestId() {
				t.Errorf("an item of request %q has the RequestInfo %q", r.GetRequestId(), d.GetRequestId())
			}
		}
	}
	return fmt.Sprint(codes.Code(r.GetError().GetCode()), " ", reason, ": ", r.GetError().GetMessage())
}

// sent makes each item's request by itself and says what came of it, as said does.
func sent(ctx context.Context, c *client.Client, i *kmsv1.BatchItem) error {
	var err error
	switch operations := c.Crypto(); i.WhichRequest() {
	case kmsv1.BatchItem_Encrypt_case:
		_, err = operations.Encrypt(ctx, i.GetEncrypt())
	case kmsv1.BatchItem_Decrypt_case:
		_, err = operations.Decrypt(ctx, i.GetDecrypt())
	}
	return err
}

// Every kind of item is answered at its index as if it had been sent by itself, has an event of its own, and the batch has one too.
func TestBatch(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	verify, mac, decapsulate := p.verify(), p.verifyMac(), p.decapsulate()
	wrong := proto.Clone(verify).(*kmsv1.VerifyRequest)
	wrong.SetMessage([]byte("another"))
	items := []*kmsv1.BatchItem{
		encryptItem(p.keyID),
		item(kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob}.Build()}),
		item(kmsv1.BatchItem_builder{ReEncrypt: kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.otherID}.Build()}),
		item(kmsv1.BatchItem_builder{GenerateDataKey: kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, NumberOfBytes: 32}.Build()}),
		item(kmsv1.BatchItem_builder{GenerateDataKeyWithoutPlaintext: kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: p.keyID, NumberOfBytes: 32}.Build()}),
		item(kmsv1.BatchItem_builder{GenerateDataKeyPair: kmsv1.GenerateDataKeyPairRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256}.Build()}),
		item(kmsv1.BatchItem_builder{GenerateDataKeyPairWithoutPlaintext: kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256}.Build()}),
		item(kmsv1.BatchItem_builder{GenerateMac: p.generateMac()}),
		item(kmsv1.BatchItem_builder{VerifyMac: mac}),
		item(kmsv1.BatchItem_builder{Sign: p.sign()}),
		item(kmsv1.BatchItem_builder{Verify: verify}),
		item(kmsv1.BatchItem_builder{DeriveSharedSecret: p.deriveSharedSecret()}),
		item(kmsv1.BatchItem_builder{Encapsulate: p.encapsulate()}),
		item(kmsv1.BatchItem_builder{Decapsulate: decapsulate}),
		randomItem(32),
		item(kmsv1.BatchItem_builder{}), // nothing
		item(kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: []byte("x"), DryRun: true}.Build()}),
		item(kmsv1.BatchItem_builder{Verify: wrong}),
		item(kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{CiphertextBlob: []byte("no ciphertext")}.Build()}),
		encryptItem("alias/nothere"),
		encryptItem(p.keyID),
	}
	before := len(d.Events(audit.Filter{}))
	out, err := batchClient(d.KMS, d.Credentials()).BatchCrypto(t.Context(), batchOf(items...))
	if err != nil || len(out.GetResults()) != len(items) {
		t.Fatalf("BatchCrypto = %d results, %v, want %d", len(out.GetResults()), err, len(items))
	}
	want := []string{
		15: "InvalidArgument ValidationException: item: has no request that this kmsd knows",
		17: "InvalidArgument KMSInvalidSignatureException: ", 18: "InvalidArgument InvalidCiphertextException: ",
		19: "NotFound NotFoundException: Alias arn:aws:kms:local:111122223333:alias/nothere is not found.", 20: "",
	}
	kinds := map[string]bool{}
	for i, r := range out.GetResults() {
		got := said(t, r)
		switch {
		case want[i] != "" && !strings.HasPrefix(got, want[i]):
			t.Errorf("item %d: %s, want %s", i, got, want[i])
		case want[i] == "" && got != "OK":
			t.Errorf("item %d: %s, want OK", i, got)
		case want[i] == "":
			request, answer := fmt.Sprint(items[i].WhichRequest()), fmt.Sprint(r.WhichResult())
			if request != answer {
				t.Errorf("item %d is of the kind %s, and its answer of %s", i, request, answer)
			}
			kinds[answer] = true
		}
	}
	if len(kinds) != 15 {
		t.Errorf("items of %d kinds were answered, want 15: %v", len(kinds), kinds)
	}
	if r := out.GetResults()[16]; !r.GetEncrypt().GetDryRun() || len(r.GetEncrypt().GetCiphertextBlob()) != 0 {
		t.Errorf("a dry run in a batch = %v", r)
	}
	if got := d.decrypt(out.GetResults()[20].GetEncrypt().GetCiphertextBlob(), nil); got.code != codes.OK {
		t.Errorf("Decrypt of what the last item encrypted: %v", got)
	}
	batchEvents(t, d.KMS, before, items, out.GetResults())
}

// batchEvents checks the events of a batch: one for each item, in their order, and then the batch's.
func batchEvents(t *testing.T, k *kmstest.KMS, before int, items []*kmsv1.BatchItem, results []*kmsv1.BatchResult) {
	t.Helper()
	events := eventsOf(t, k, audit.Filter{})
	at := slices.IndexFunc(events, func(e itemEvent) bool { return e.EventName == "BatchCrypto" })
	if at < 0 || at < len(items) || events[at].Request.Items == nil || *events[at].Request.Items != len(items) {
		t.Fatalf("%d events, of which the batch's is %d", len(events)-before, at-before)
	}
	batch, failed, ids := events[at], 0, map[string]bool{}
	for i, e := range events[at-len(items) : at] {
		ids[e.EventID], ids[e.RequestID] = true, true
		if e.Request.BatchRequestID != batch.RequestID || e.Request.BatchIndex == nil || *e.Request.BatchIndex != i || e.RequestID != results[i].GetRequestId() {
			t.Errorf("the event of item %d: %+v, want it of request %s in batch %s", i, e, results[i].GetRequestId(), batch.RequestID)
		}
		if e.Actor != batch.Actor {
			t.Errorf("the event of item %d has the actor %+v, want %+v", i, e.Actor, batch.Actor)
		}
		code := codes.Code(results[i].GetError().GetCode())
		if code != codes.OK {
			failed++
		}
		if (e.Outcome.Status == "OK") != (code == codes.OK) {
			t.Errorf("the event of item %d says %s, the answer %v", i, e.Outcome.Status, code)
		}
	}
	if len(ids) != 2*len(items) {
		t.Errorf("%d ids of %d events, want two of each", len(ids), len(items))
	}
	if batch.Request.Failed == nil || *batch.Request.Failed != failed || batch.Outcome.Status != "OK" {
		t.Errorf("the event of the batch: %+v, want %d failed", batch, failed)
	}
}

// Each item is authorized by itself: what the caller may not do is denied, as it would be by itself, and the rest is done.
func TestBatchDenials(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	who := d.User("some", kmstest.Allow([]string{"kms:Encrypt"}, p.keyID), kmstest.Allow([]string{"kms:GenerateRandom"}))
	as := d.Client(who)
	foreign := newPropsIn(d, d.Account("foreign"))
	absent := strings.Replace(p.keyID, p.keyID[strings.LastIndexByte(p.keyID, '/')+1:], "00000000-0000-4000-8000-000000000000", 1)
	forged := bytes.Clone(foreign.blob)
	copy(forged[2:18], bytes.Repeat([]byte{7}, 16))
	decrypting := func(blob []byte) *kmsv1.BatchItem {
		return item(kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{CiphertextBlob: blob}.Build()})
	}
	items := []*kmsv1.BatchItem{
		encryptItem(p.keyID), encryptItem(p.otherID), decrypting(p.blob), encryptItem(absent), encryptItem(foreign.keyID), decrypting(foreign.blob), decrypting(forged),
		encryptItem(strings.ReplaceAll(foreign.keyID, "key/", "alias/")), encryptItem(p.keyID),
	}
	for range 300 {
		items = append(items, encryptItem(p.otherID), encryptItem(p.keyID))
	}
	out, err := kmsv1.NewBatchServiceClient(as.Conn()).BatchCrypto(t.Context(), batchOf(items...))
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for i, r := range out.GetResults() {
		want := "OK"
		if st := status.Convert(sent(t.Context(), as, items[i])); i < 12 && st.Code() != codes.OK {
			want = fmt.Sprint(st.Code(), " AccessDeniedException: ", st.Message())
		} else if i >= 9 && i%2 == 1 {
			want = "PermissionDenied AccessDeniedException: "
		}
		if got := said(t, r); !strings.HasPrefix(got, want) {
			t.Errorf("item %d: %s, want %s", i, got, want)
		} else if got != "OK" {
			denied++
		}
	}
	if denied != 307 {
		t.Errorf("%d items were denied, want 307", denied)
	}
	if a, b := said(t, out.GetResults()[5]), said(t, out.GetResults()[6]); a == "OK" || strings.ReplaceAll(a, foreign.keyID, "") == "" || b == "OK" {
		t.Errorf("a ciphertext under a foreign key: %s, one of no key: %s", a, b)
	}
}

// Whoever has no credentials learns nothing, and no item is done.
func TestBatchWithoutCredentials(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	_, err := kmsv1.NewBatchServiceClient(anonymous(t, d.KMS)).BatchCrypto(t.Context(), batchOf(encryptItem(p.keyID)))
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("BatchCrypto without credentials = %v, want %v", err, codes.Unauthenticated)
	}
	if events := eventsOf(t, d.KMS, audit.Filter{Event: "BatchCrypto"}); len(events) != 1 || events[0].Outcome.Status != "UNAUTHENTICATED" {
		t.Errorf("events: %+v, want one that is UNAUTHENTICATED", events)
	}
}

// The limits of a batch: items, bytes of the request and of the answer.
func TestBatchLimits(t *testing.T) {
	k := kmstest.New(t, nil)
	batches := batchClient(k, k.Credentials())
	many := func(n int, i *kmsv1.BatchItem) *kmsv1.BatchCryptoRequest {
		return batchOf(slices.Repeat([]*kmsv1.BatchItem{i}, n)...)
	}
	large := func(n int) *kmsv1.BatchItem {
		return item(kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: "x", Plaintext: make([]byte, n)}.Build()})
	}
	for _, row := range []struct {
		what string
		in   *kmsv1.BatchCryptoRequest
		want codes.Code
	}{
		{"no items", many(0, nil), codes.InvalidArgument},
		{"1 item", many(1, randomItem(1)), codes.OK},
		{"1024 items", many(1024, randomItem(1)), codes.OK},
		{"1025 items", many(1025, randomItem(1)), codes.InvalidArgument},
		{"4 MiB less some bytes", many(16, large(256<<10-64)), codes.OK},
		{"more than 4 MiB", many(16, large(256<<10+1)), codes.InvalidArgument},
		{"more than 8 MiB", many(16, large(512<<10+1)), codes.ResourceExhausted},
	} {
		out, err := batches.BatchCrypto(t.Context(), row.in)
		if status.Code(err) != row.want || err == nil && len(out.GetResults()) != len(row.in.GetItems()) {
			t.Errorf("a batch of %s: %d results, %v, want %v", row.what, len(out.GetResults()), err, row.want)
		}
	}
}

// What does not fit into an answer of 4 MiB fails by itself, and the answer arrives.
func TestBatchAnswerTooLarge(t *testing.T) {
	k := kmstest.New(t, nil)
	batches, key := batchClient(k, k.Credentials()), k.Key().GetArn()
	// 62 ciphertexts of 64 KiB come of a request that is a little smaller than 4 MiB; the data key pairs beside them make the answer larger.
	var items []*kmsv1.BatchItem
	for range 63 {
		items = append(items, item(kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: make([]byte, 65536)}.Build()}))
	}
	for range 300 {
		items = append(items, randomItem(1024))
	}
	before := len(k.Events(audit.Filter{}))
	out, err := batches.BatchCrypto(t.Context(), batchOf(items...))
	if err != nil {
		t.Fatal(err)
	}
	if n := proto.Size(out); n > 4<<20 || n < 4<<20-4096 {
		t.Errorf("the answer has %d bytes, want nearly %d", n, 4<<20)
	}
	refused := 0
	for i, r := range out.GetResults() {
		switch got := said(t, r); {
		case strings.HasPrefix(got, "ResourceExhausted LimitExceededException"):
			refused++
		case got != "OK":
			t.Errorf("item %d: %s", i, got)
		case refused > 0 && i < 63:
			t.Errorf("item %d has an answer behind one that has none", i)
		}
	}
	if refused < 100 || refused > 300 {
		t.Errorf("%d items do not fit, want some", refused)
	}
	batchEvents(t, k, before, items, out.GetResults())
}

// A batch that takes longer than it may answers what is done, and says of the rest that its time has passed; what was not begun has no event.
func TestBatchPastItsDeadline(t *testing.T) {
	d := newDoor(t, nil)
	k, key := d.KMS, d.external(crypto.SpecRSA3072)
	d.bring(key, materialOf(t, crypto.SpecRSA3072))
	batches := batchClient(k, k.Credentials())
	var sealed kmsv1.EncryptResponse
	d.must(encryptMethod, kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("x"), EncryptionAlgorithm: 3}.Build(), &sealed)
	decrypting := batchOf(slices.Repeat([]*kmsv1.BatchItem{item(kmsv1.BatchItem_builder{
		Decrypt: kmsv1.DecryptRequest_builder{KeyId: key, CiphertextBlob: sealed.GetCiphertextBlob(), EncryptionAlgorithm: 3}.Build(),
	})}, 1024)...)
	began := time.Now()
	if _, err := batches.BatchCrypto(t.Context(), batchOf(decrypting.GetItems()[:128]...)); err != nil {
		t.Fatal(err)
	}
	half := 4 * time.Since(began) // of the time that the whole takes
	var out *kmsv1.BatchCryptoResponse
	err := context.DeadlineExceeded
	for range 5 { // a machine that is busy may not even send the answer in time
		ctx, cancel := context.WithTimeout(t.Context(), half)
		out, err = batches.BatchCrypto(ctx, decrypting)
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			break
		}
	}
	if err != nil {
		t.Fatalf("a batch that takes too long = %v, want what was done of it", err)
	}
	partlyDone(t, k, out)
}

// partlyDone checks the answer of a batch whose time passed in the middle.
func partlyDone(t *testing.T, k *kmstest.KMS, out *kmsv1.BatchCryptoResponse) {
	t.Helper()
	begun, late := map[string]bool{}, 0
	for i, r := range out.GetResults() {
		switch got := said(t, r); {
		case got == "OK":
			begun[r.GetRequestId()] = true
		case strings.HasPrefix(got, "DeadlineExceeded DependencyTimeoutException"):
			if late++; r.GetRequestId() != "" {
				t.Errorf("item %d was not begun and is request %s", i, r.GetRequestId())
			}
		default:
			t.Errorf("item %d: %s", i, got)
		}
	}
	if len(begun) < 2 || late < 2 {
		t.Errorf("%d items are done and %d late, want some of both", len(begun), late)
	}
	events := eventsOf(t, k, audit.Filter{})
	batch := events[slices.IndexFunc(events, func(e itemEvent) bool { return begun[e.RequestID] })].Request.BatchRequestID
	n := 0
	for _, e := range events {
		if e.Request.BatchRequestID == batch {
			n++
		}
	}
	if n != len(begun) {
		t.Errorf("%d events of items, want the %d that were begun", n, len(begun))
	}
}

// A caller who leaves takes no answers along; what was done has its events.
func TestBatchThatNobodyWaitsFor(t *testing.T) {
	k := kmstest.New(t, nil)
	batches, key := batchClient(k, k.Credentials()), k.Key().GetArn()
	slow := item(kmsv1.BatchItem_builder{GenerateDataKeyPair: kmsv1.GenerateDataKeyPairRequest_builder{KeyId: key, KeyPairSpec: kmsv1.DataKeyPairSpec_DATA_KEY_PAIR_SPEC_RSA_2048}.Build()})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	time.AfterFunc(300*time.Millisecond, cancel)
	if _, err := batches.BatchCrypto(ctx, batchOf(slices.Repeat([]*kmsv1.BatchItem{slow}, 500)...)); status.Code(err) != codes.Canceled {
		t.Errorf("a batch whose caller leaves = %v, want %v", err, codes.Canceled)
	}
	k.Restart() // every event is written by then
	batch, items := 0, 0
	for _, e := range eventsOf(t, k, audit.Filter{}) {
		if e.EventName == "BatchCrypto" {
			batch++
		}
		if e.Request.BatchRequestID == "" {
			continue
		}
		if items++; e.Outcome.Status != "CANCELLED" {
			t.Errorf("an item that nobody waited for: %s", e.Outcome.Status)
		}
	}
	if batch != 1 || items == 0 || items == 500 {
		t.Errorf("%d events of batches and %d of items, want one and some", batch, items)
	}
}

// BenchmarkBatch is 256 encryptions of 64 bytes in a batch, and as many calls on one connection, one after the other and 16 at a time.
func BenchmarkBatch(b *testing.B) {
	k := kmstest.New(b, nil)
	c := k.Root()
	request := kmsv1.EncryptRequest_builder{KeyId: k.Key().GetArn(), Plaintext: make([]byte, 64)}.Build()
	const n = 256
	b.Run("batch", func(b *testing.B) {
		batches := kmsv1.NewBatchServiceClient(c.Conn())
		in := batchOf(slices.Repeat([]*kmsv1.BatchItem{item(kmsv1.BatchItem_builder{Encrypt: request})}, n)...)
		for b.Loop() {
			if out, err := batches.BatchCrypto(b.Context(), in); err != nil || out.GetResults()[n-1].HasError() {
				b.Fatal(out, err)
			}
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
	})
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("calls/%d", callers), func(b *testing.B) {
			for b.Loop() {
				concurrently(b, callers, n/callers, func() error {
					_, err := c.Crypto().Encrypt(b.Context(), request)
					return err
				})
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
	b.Run("stream", func(b *testing.B) {
		stream, err := kmsv1.NewBatchServiceClient(c.Conn()).StreamCrypto(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		in := kmsv1.StreamCryptoRequest_builder{Item: item(kmsv1.BatchItem_builder{Encrypt: request})}.Build()
		for b.Loop() {
			streamed(b, stream, in, n)
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
	})
}
