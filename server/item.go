package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// itemKind is a request that a batch can hold: how it is taken out of its item, and its answer put into the item's result.
type itemKind struct {
	method  string
	request func(*kmsv1.BatchItem) proto.Message
	answer  func(*kmsv1.BatchResult, proto.Message)
}

func kindOf[Req, Resp proto.Message](method string, request func(*kmsv1.BatchItem) Req, answer func(*kmsv1.BatchResult, Resp)) itemKind {
	return itemKind{
		method:  method,
		request: func(i *kmsv1.BatchItem) proto.Message { return request(i) },
		answer:  func(r *kmsv1.BatchResult, m proto.Message) { answer(r, m.(Resp)) },
	}
}

type (
	batchItem   = kmsv1.BatchItem
	batchResult = kmsv1.BatchResult
)

// itemKinds are the requests of an item by the numbers of their fields, from 1. It is never written.
var itemKinds = [...]itemKind{
	1:  kindOf(kmsv1.CryptoService_Encrypt_FullMethodName, (*batchItem).GetEncrypt, (*batchResult).SetEncrypt),
	2:  kindOf(kmsv1.CryptoService_Decrypt_FullMethodName, (*batchItem).GetDecrypt, (*batchResult).SetDecrypt),
	3:  kindOf(kmsv1.CryptoService_ReEncrypt_FullMethodName, (*batchItem).GetReEncrypt, (*batchResult).SetReEncrypt),
	4:  kindOf(kmsv1.CryptoService_GenerateDataKey_FullMethodName, (*batchItem).GetGenerateDataKey, (*batchResult).SetGenerateDataKey),
	5:  kindOf(kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName, (*batchItem).GetGenerateDataKeyWithoutPlaintext, (*batchResult).SetGenerateDataKeyWithoutPlaintext),
	6:  kindOf(kmsv1.CryptoService_GenerateDataKeyPair_FullMethodName, (*batchItem).GetGenerateDataKeyPair, (*batchResult).SetGenerateDataKeyPair),
	7:  kindOf(kmsv1.CryptoService_GenerateDataKeyPairWithoutPlaintext_FullMethodName, (*batchItem).GetGenerateDataKeyPairWithoutPlaintext, (*batchResult).SetGenerateDataKeyPairWithoutPlaintext),
	8:  kindOf(kmsv1.CryptoService_GenerateMac_FullMethodName, (*batchItem).GetGenerateMac, (*batchResult).SetGenerateMac),
	9:  kindOf(kmsv1.CryptoService_VerifyMac_FullMethodName, (*batchItem).GetVerifyMac, (*batchResult).SetVerifyMac),
	10: kindOf(kmsv1.CryptoService_Sign_FullMethodName, (*batchItem).GetSign, (*batchResult).SetSign),
	11: kindOf(kmsv1.CryptoService_Verify_FullMethodName, (*batchItem).GetVerify, (*batchResult).SetVerify),
	12: kindOf(kmsv1.CryptoService_DeriveSharedSecret_FullMethodName, (*batchItem).GetDeriveSharedSecret, (*batchResult).SetDeriveSharedSecret),
	13: kindOf(kmsv1.CryptoService_Encapsulate_FullMethodName, (*batchItem).GetEncapsulate, (*batchResult).SetEncapsulate),
	14: kindOf(kmsv1.CryptoService_Decapsulate_FullMethodName, (*batchItem).GetDecapsulate, (*batchResult).SetDecapsulate),
	15: kindOf(kmsv1.CryptoService_GenerateRandom_FullMethodName, (*batchItem).GetGenerateRandom, (*batchResult).SetGenerateRandom),
}

// itemMethods are the rows of the table for what an item can hold, by the number of its field. That of an item which holds nothing that this version knows is
// 0, and refuses it.
func itemMethods(rows []*method) ([]*method, error) {
	all := make([]*method, len(itemKinds))
	all[0] = &method{
		source: "kms", event: "BatchItem", wipe: func(proto.Message) {},
		use: func(*call, proto.Message) (proto.Message, error) { return nil, errNoRequest },
	}
	for n, kind := range itemKinds[1:] {
		for _, m := range rows {
			if m.name == kind.method {
				all[n+1] = m
			}
		}
		if all[n+1] == nil {
			return nil, fmt.Errorf("an item of a batch may hold %s, which is not in the table of server", kind.method)
		}
	}
	for _, m := range rows {
		if m.name == kmsv1.BatchService_BatchCrypto_FullMethodName {
			all[0].number = m.number
		}
	}
	return all, nil
}

var errNoRequest = &failure{
	code: codes.InvalidArgument, reason: reasonValidation, message: "item: has no request that this kmsd knows", class: "NoRequest",
	fields: []violation{{"item", "has no request that this kmsd knows"}},
}

// itemActions are what the items of batches may ask authz for.
func itemActions() []authz.Action {
	return []authz.Action{
		authz.KMSEncrypt, authz.KMSDecrypt, authz.KMSReEncryptFrom, authz.KMSReEncryptTo, authz.KMSGenerateDataKey, authz.KMSGenerateDataKeyWithoutPlaintext,
		authz.KMSGenerateDataKeyPair, authz.KMSGenerateDataKeyPairWithoutPlaintext, authz.KMSGenerateMac, authz.KMSVerifyMac, authz.KMSSign, authz.KMSVerify,
		authz.KMSDeriveSharedSecret, authz.KMSEncapsulate, authz.KMSDecapsulate, authz.KMSGenerateRandom,
	}
}

// part is an item of a batch or a stream: a call of its own, by the caller of the call that brings it, with an event of its own.
type part struct {
	call *call // nil if it was not begun
	kind int   // of itemKinds
	out  proto.Message
	f    *failure
}

// newPart begins the call of an item, the one of this index, which reads the state that c reads.
func (c *call) newPart(ctx context.Context, item *kmsv1.BatchItem, index int64) part {
	p := part{kind: int(item.WhichRequest())}
	if p.kind >= len(itemKinds) {
		p.kind = 0
	}
	i := c.s.newCall(ctx, c.s.items[p.kind])
	i.conn, i.credential, i.who, i.people, i.keys = c.conn, c.credential, c.who, c.people, c.keys
	i.event.ReceivedTime, i.event.Actor, i.event.Network = c.event.ReceivedTime, c.event.Actor, c.event.Network
	i.gatherFacts()
	i.param(audit.String("batchRequestID", c.event.RequestID.String()))
	i.param(audit.Int("batchIndex", index))
	p.call = i
	return p
}

// perform does the work of the item.
func (p *part) perform(item *kmsv1.BatchItem) {
	var err error
	if p.out, err = p.call.perform(p.kind, item); err != nil {
		p.out, p.f = nil, failureOf(err)
		p.call.logInternal(p.f, err)
	}
	p.call.event.EventTime = time.Now()
}

func (c *call) perform(kind int, item *kmsv1.BatchItem) (out proto.Message, err error) {
	defer c.caught(&out, &err)
	var request proto.Message
	if kind != 0 {
		request = itemKinds[kind].request(item)
	}
	return c.m.use(c, request)
}

// fail makes the item fail, whatever has become of it.
func (p *part) fail(f *failure) {
	p.wipe()
	p.out, p.f = nil, f
}

func (p *part) wipe() {
	if p.call != nil && p.out != nil {
		p.call.m.wipe(p.out)
	}
}

// conclude fills in how the item ended, and counts it.
func (p *part) conclude() {
	code, _ := p.call.conclude(p.f, p.out)
	p.call.s.metrics.calls[p.call.m.number].item(code)
}

// result is what became of the item.
func (p *part) result() *kmsv1.BatchResult {
	r := &kmsv1.BatchResult{}
	id := ""
	if p.call != nil {
		id = p.call.event.RequestID.String()
		r.SetRequestId(id)
	}
	if p.f != nil {
		r.SetError(p.f.status(id).Proto())
	} else {
		itemKinds[p.kind].answer(r, p.out)
	}
	return r
}
