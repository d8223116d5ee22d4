package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/authz"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// method is one RPC: everything that the pipeline knows of it stands in one row of the table.
type method struct {
	name     string         // "/kmsd.kms.v1.CryptoService/Encrypt"
	number   int            // in the table
	source   string         // "kms": eventSource of the audit event
	event    string         // "Encrypt": eventName
	actions  []authz.Action // what it may ask authz for; never empty
	mutating bool           // changes what is stored
	crypto   bool           // uses key material
	handle   func(c *call, decode func(any) error) (proto.Message, error)
	wipe     func(proto.Message) // overwrites the bytes fields of an answer that is not given
}

// flag is a property of a method in the table.
type flag uint8

const (
	mutating flag = 1 << iota
	usesKey
)

// rpc makes a row. check says what is wrong with a request by itself; do asks authz, does the work and fills in the event.
func rpc[Req, Resp any, PReq interface {
	*Req
	proto.Message
}, PResp interface {
	*Resp
	proto.Message
}](name string, flags flag, check func(*violations, PReq), do func(*call, PReq) (PResp, error), actions ...authz.Action) *method {
	service, event, _ := strings.Cut(strings.TrimPrefix(name, "/kmsd."), "/")
	source, _, _ := strings.Cut(service, ".")
	return &method{
		name: name, source: source, event: event, actions: actions,
		mutating: flags&mutating != 0, crypto: flags&usesKey != 0,
		handle: func(c *call, decode func(any) error) (proto.Message, error) {
			req := PReq(new(Req))
			if err := receive(decode, req); err != nil {
				return nil, err
			}
			c.event.Outcome.BytesIn = int64(proto.Size(req))
			check(&c.wrong, req)
			if err := c.wrong.err(); err != nil {
				return nil, err
			}
			resp, err := do(c, req)
			if err != nil {
				return nil, err
			}
			return resp, nil
		},
		wipe: wiper(PResp(new(Resp)).ProtoReflect().Descriptor()),
	}
}

// receive reads and decodes a request.
func receive(decode func(any) error, req proto.Message) error {
	in := received{message: req}
	if err := decode(&in); err != nil {
		// The request did not arrive, or not in a form that gRPC takes, which has told the client so.
		switch status.Code(err) {
		case codes.DeadlineExceeded:
			return context.DeadlineExceeded
		case codes.Canceled:
			return context.Canceled
		}
		return &failure{code: status.Code(err), reason: reasonValidation, message: "the request did not arrive", class: "NotReceived"}
	}
	if errors.Is(in.err, errTooLarge) {
		return &failure{code: codes.InvalidArgument, reason: reasonValidation, message: "the request is larger than this kmsd takes", class: "TooLarge"}
	}
	if in.err != nil {
		return &failure{code: codes.InvalidArgument, reason: reasonValidation, message: "the request is not a valid message of its type", class: "Malformed"}
	}
	return nil
}

// wiper returns what overwrites the bytes fields of a message, or does nothing where there are none.
func wiper(d protoreflect.MessageDescriptor) func(proto.Message) {
	var secret []protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.Kind() == protoreflect.BytesKind && !f.IsList() {
			secret = append(secret, f)
		}
	}
	return func(m proto.Message) {
		if m == nil {
			return
		}
		for _, f := range secret {
			clear(m.ProtoReflect().Get(f).Bytes())
		}
	}
}

// table returns every RPC of kmsd. A method of a .proto file that is not in it stops New.
func table() []*method {
	return []*method{
		rpc(kmsv1.CryptoService_Encrypt_FullMethodName, usesKey, checkEncrypt, encrypt, authz.KMSEncrypt),
		rpc(kmsv1.CryptoService_Decrypt_FullMethodName, usesKey, checkDecrypt, decrypt, authz.KMSDecrypt),
		rpc(kmsv1.CryptoService_ReEncrypt_FullMethodName, usesKey, checkReEncrypt, reEncrypt, authz.KMSReEncryptFrom, authz.KMSReEncryptTo),
		rpc(kmsv1.CryptoService_GenerateDataKey_FullMethodName, usesKey, checkGenerateDataKey, generateDataKey, authz.KMSGenerateDataKey),
		rpc(kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName, usesKey, checkGenerateDataKeyWithoutPlaintext, generateDataKeyWithoutPlaintext, authz.KMSGenerateDataKeyWithoutPlaintext),
		rpc(kmsv1.CryptoService_GenerateRandom_FullMethodName, 0, checkGenerateRandom, generateRandom, authz.KMSGenerateRandom),

		rpc(kmsv1.KeyService_CreateKey_FullMethodName, mutating, checkCreateKey, createKey, authz.KMSCreateKey),
		rpc(kmsv1.KeyService_DescribeKey_FullMethodName, 0, checkDescribeKey, describeKey, authz.KMSDescribeKey),
		rpc(kmsv1.KeyService_ListKeys_FullMethodName, 0, checkListKeys, listKeys, authz.KMSListKeys),
		rpc(kmsv1.KeyService_UpdateKeyDescription_FullMethodName, mutating, checkUpdateKeyDescription, updateKeyDescription, authz.KMSUpdateKeyDescription),
		rpc(kmsv1.KeyService_EnableKey_FullMethodName, mutating, checkEnableKey, enableKey, authz.KMSEnableKey),
		rpc(kmsv1.KeyService_DisableKey_FullMethodName, mutating, checkDisableKey, disableKey, authz.KMSDisableKey),
		rpc(kmsv1.KeyService_RotateKeyOnDemand_FullMethodName, mutating, checkRotateKeyOnDemand, rotateKeyOnDemand, authz.KMSRotateKeyOnDemand),
		rpc(kmsv1.KeyService_ListKeyRotations_FullMethodName, 0, checkListKeyRotations, listKeyRotations, authz.KMSListKeyRotations),
		rpc(kmsv1.KeyService_CreateAlias_FullMethodName, mutating, checkCreateAlias, createAlias, authz.KMSCreateAlias),
		rpc(kmsv1.KeyService_UpdateAlias_FullMethodName, mutating, checkUpdateAlias, updateAlias, authz.KMSUpdateAlias),
		rpc(kmsv1.KeyService_DeleteAlias_FullMethodName, mutating, checkDeleteAlias, deleteAlias, authz.KMSDeleteAlias),
		rpc(kmsv1.KeyService_ListAliases_FullMethodName, 0, checkListAliases, listAliases, authz.KMSListAliases),
		rpc(kmsv1.KeyService_PutKeyPolicy_FullMethodName, mutating, checkPutKeyPolicy, putKeyPolicy, authz.KMSPutKeyPolicy),
		rpc(kmsv1.KeyService_GetKeyPolicy_FullMethodName, 0, checkGetKeyPolicy, getKeyPolicy, authz.KMSGetKeyPolicy),

		rpc(iamv1.IAMService_CreateUser_FullMethodName, mutating, checkCreateUser, createUser, authz.IAMCreateUser),
		rpc(iamv1.IAMService_GetUser_FullMethodName, 0, checkGetUser, getUser, authz.IAMGetUser),
		rpc(iamv1.IAMService_ListUsers_FullMethodName, 0, checkListUsers, listUsers, authz.IAMListUsers),
		rpc(iamv1.IAMService_DeleteUser_FullMethodName, mutating, checkDeleteUser, deleteUser, authz.IAMDeleteUser),
		rpc(iamv1.IAMService_CreateAccessKey_FullMethodName, mutating, checkCreateAccessKey, createAccessKey, authz.IAMCreateAccessKey),
		rpc(iamv1.IAMService_ListAccessKeys_FullMethodName, 0, checkListAccessKeys, listAccessKeys, authz.IAMListAccessKeys),
		rpc(iamv1.IAMService_UpdateAccessKey_FullMethodName, mutating, checkUpdateAccessKey, updateAccessKey, authz.IAMUpdateAccessKey),
		rpc(iamv1.IAMService_DeleteAccessKey_FullMethodName, mutating, checkDeleteAccessKey, deleteAccessKey, authz.IAMDeleteAccessKey),
		rpc(iamv1.IAMService_CreateClientCertificate_FullMethodName, mutating, checkCreateClientCertificate, createClientCertificate, authz.IAMCreateClientCertificate),
		rpc(iamv1.IAMService_ListClientCertificates_FullMethodName, 0, checkListClientCertificates, listClientCertificates, authz.IAMListClientCertificates),
		rpc(iamv1.IAMService_DeleteClientCertificate_FullMethodName, mutating, checkDeleteClientCertificate, deleteClientCertificate, authz.IAMDeleteClientCertificate),
		rpc(iamv1.IAMService_PutUserPolicy_FullMethodName, mutating, checkPutUserPolicy, putUserPolicy, authz.IAMPutUserPolicy),
		rpc(iamv1.IAMService_GetUserPolicy_FullMethodName, 0, checkGetUserPolicy, getUserPolicy, authz.IAMGetUserPolicy),
		rpc(iamv1.IAMService_ListUserPolicies_FullMethodName, 0, checkListUserPolicies, listUserPolicies, authz.IAMListUserPolicies),
		rpc(iamv1.IAMService_DeleteUserPolicy_FullMethodName, mutating, checkDeleteUserPolicy, deleteUserPolicy, authz.IAMDeleteUserPolicy),

		rpc(stsv1.STSService_GetCallerIdentity_FullMethodName, 0, checkGetCallerIdentity, getCallerIdentity, authz.STSGetCallerIdentity),
	}
}

// files are the .proto files whose services kmsd serves.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
	}
}

// services joins the table with the descriptors: each method of each service has one row, and the other way round.
func services(rows []*method) ([]*grpc.ServiceDesc, error) {
	byName := map[string]*method{}
	for i, m := range rows {
		m.number = i
		if len(m.actions) == 0 {
			return nil, fmt.Errorf("method %s has no IAM action", m.name)
		}
		byName[m.name] = m
	}
	var descs []*grpc.ServiceDesc
	found := 0
	for _, file := range files() {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			desc := &grpc.ServiceDesc{ServiceName: string(service.FullName()), HandlerType: (*any)(nil), Metadata: file.Path()}
			for j := range service.Methods().Len() {
				name := fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(j).Name())
				m, ok := byName[name]
				if !ok {
					return nil, fmt.Errorf("method %s is not in the table of server", name)
				}
				found++
				desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: m.event, Handler: m.grpcHandler})
			}
			descs = append(descs, desc)
		}
	}
	if found != len(rows) {
		return nil, fmt.Errorf("the table of server has %d methods, the .proto files have %d", len(rows), found)
	}
	return descs, nil
}

// grpcHandler is what gRPC calls. The pipeline decodes by itself, so that a call that does not decode has its event too.
func (m *method) grpcHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	out, err := srv.(*Server).serve(ctx, m, decode)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Actions returns the IAM actions that each RPC, by its full name, may ask for.
func Actions() map[string][]authz.Action {
	all := map[string][]authz.Action{}
	for _, m := range table() {
		all[m.name] = m.actions
	}
	return all
}

func incoming(ctx context.Context) metadata.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}
