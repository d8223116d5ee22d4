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

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// method is one RPC: everything that the pipeline knows of it stands in one row of the table.
type method struct {
	name      string         // "/kmsd.kms.v1.CryptoService/Encrypt"
	number    int            // in the table
	source    string         // "kms": eventSource of the audit event
	event     string         // "Encrypt": eventName
	actions   []authz.Action // what it may ask authz for; never empty
	mutating  bool           // changes what is stored
	crypto    bool           // uses key material
	anonymous bool           // is called without credentials: what the request brings says who calls
	batched   bool           // its requests hold many others, and may be so much larger
	handle    func(c *call, decode func(any) error) (proto.Message, error)
	use       func(c *call, request proto.Message) (proto.Message, error) // what handle does once the request has arrived
	wipe      func(proto.Message)                                         // overwrites the bytes fields of an answer that is not given
	stream    func(s *Server, m *method, stream grpc.ServerStream) error  // instead of handle and use, of a stream
}

// flag is a property of a method in the table.
type flag uint8

const (
	mutating flag = 1 << iota
	usesKey
	anonymous
	batched
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
	wipe := wiper(PResp(new(Resp)).ProtoReflect().Descriptor())
	_, takes := any(PReq(new(Req))).(tokened)
	use := func(c *call, request proto.Message) (proto.Message, error) {
		req := request.(PReq)
		c.event.Outcome.BytesIn = int64(proto.Size(req))
		check(&c.wrong, req)
		if takes {
			c.wrong.clientToken("client_token", any(req).(tokened).GetClientToken())
		}
		if err := c.wrong.err(); err != nil {
			return nil, err
		}
		if c.dry = isDry(req); c.dry {
			c.event.Mutating, c.event.ReadOnly = false, true
			c.param(audit.Bool("dryRun", true))
		}
		if takes {
			if err := c.takeToken(req); err != nil {
				return nil, err
			}
		}
		resp, err := do(c, req)
		if c.dry && (err == nil || errors.Is(err, keystore.ErrDryRun)) {
			wipe(resp)
			return dryAnswer(PResp(new(Resp)), c.findings), nil
		}
		if err != nil {
			return nil, err
		}
		c.noteUses()
		return resp, nil
	}
	return &method{
		name: name, source: source, event: event, actions: actions, batched: flags&batched != 0,
		mutating: flags&mutating != 0, crypto: flags&usesKey != 0, anonymous: flags&anonymous != 0,
		handle: func(c *call, decode func(any) error) (proto.Message, error) {
			req := PReq(new(Req))
			if c.m.batched {
				var err error
				if c.leave, err = c.s.batches.enter(c.ctx, c.account()); err != nil {
					return nil, err
				}
			}
			if err := receive(decode, req, c.s.limits.of(c.m)); err != nil {
				return nil, err
			}
			if err := c.settle(); err != nil {
				return nil, err
			}
			return use(c, req)
		},
		use: use, wipe: wipe,
	}
}

// receive reads and decodes a request of at most so many bytes.
func receive(decode func(any) error, req proto.Message, most int) error {
	in := received{message: req, most: most}
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
	if f := translation(in.err); f != nil {
		return f
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

		rpc(kmsv1.CryptoService_GenerateMac_FullMethodName, usesKey, checkGenerateMac, generateMac, authz.KMSGenerateMac),
		rpc(kmsv1.CryptoService_VerifyMac_FullMethodName, usesKey, checkVerifyMac, verifyMac, authz.KMSVerifyMac),
		rpc(kmsv1.CryptoService_Sign_FullMethodName, usesKey, checkSign, sign, authz.KMSSign),
		rpc(kmsv1.CryptoService_Verify_FullMethodName, usesKey, checkVerify, verify, authz.KMSVerify),
		rpc(kmsv1.CryptoService_DeriveSharedSecret_FullMethodName, usesKey, checkDeriveSharedSecret, deriveSharedSecret, authz.KMSDeriveSharedSecret),
		rpc(kmsv1.CryptoService_Encapsulate_FullMethodName, usesKey, checkEncapsulate, encapsulate, authz.KMSEncapsulate),
		rpc(kmsv1.CryptoService_Decapsulate_FullMethodName, usesKey, checkDecapsulate, decapsulate, authz.KMSDecapsulate),
		rpc(kmsv1.CryptoService_GenerateDataKeyPair_FullMethodName, usesKey, checkGenerateDataKeyPair, generateDataKeyPair, authz.KMSGenerateDataKeyPair),
		rpc(kmsv1.CryptoService_GenerateDataKeyPairWithoutPlaintext_FullMethodName, usesKey, checkGenerateDataKeyPairWithoutPlaintext, generateDataKeyPairWithoutPlaintext, authz.KMSGenerateDataKeyPairWithoutPlaintext),
		rpc(kmsv1.KeyService_GetPublicKey_FullMethodName, 0, checkGetPublicKey, getPublicKey, authz.KMSGetPublicKey),
		rpc(kmsv1.BatchService_BatchCrypto_FullMethodName, usesKey|batched, checkBatchCrypto, batchCrypto, itemActions()...),
		streamCrypto(),

		rpc(kmsv1.KeyService_CreateKey_FullMethodName, mutating, checkCreateKey, createKey, authz.KMSCreateKey, authz.KMSTagResource),
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
		rpc(kmsv1.KeyService_TagResource_FullMethodName, mutating, checkTagResource, tagResource, authz.KMSTagResource),
		rpc(kmsv1.KeyService_UntagResource_FullMethodName, mutating, checkUntagResource, untagResource, authz.KMSUntagResource),
		rpc(kmsv1.KeyService_ListResourceTags_FullMethodName, 0, checkListResourceTags, listResourceTags, authz.KMSListResourceTags),
		rpc(kmsv1.KeyService_CreateGrant_FullMethodName, mutating, checkCreateGrant, createGrant, authz.KMSCreateGrant),
		rpc(kmsv1.KeyService_ListGrants_FullMethodName, 0, checkListGrants, listGrants, authz.KMSListGrants),
		rpc(kmsv1.KeyService_ListRetirableGrants_FullMethodName, 0, checkListRetirableGrants, listRetirableGrants, authz.KMSListRetirableGrants),
		rpc(kmsv1.KeyService_RetireGrant_FullMethodName, mutating, checkRetireGrant, retireGrant, authz.KMSRetireGrant),
		rpc(kmsv1.KeyService_RevokeGrant_FullMethodName, mutating, checkRevokeGrant, revokeGrant, authz.KMSRevokeGrant),
		rpc(kmsv1.KeyService_ScheduleKeyDeletion_FullMethodName, mutating, checkScheduleKeyDeletion, scheduleKeyDeletion, authz.KMSScheduleKeyDeletion),
		rpc(kmsv1.KeyService_CancelKeyDeletion_FullMethodName, mutating, checkCancelKeyDeletion, cancelKeyDeletion, authz.KMSCancelKeyDeletion),
		rpc(kmsv1.KeyService_GetKeyDeletionReport_FullMethodName, 0, checkGetKeyDeletionReport, getKeyDeletionReport, authz.KMSDescribeKey, authz.KMSGetKeyLastUsage),
		rpc(kmsv1.KeyService_UpdateKeyDeletionProtection_FullMethodName, mutating, checkUpdateKeyDeletionProtection, updateKeyDeletionProtection, authz.KMSUpdateKeyDeletionProtection),
		rpc(kmsv1.KeyService_EnableKeyRotation_FullMethodName, mutating, checkEnableKeyRotation, enableKeyRotation, authz.KMSEnableKeyRotation),
		rpc(kmsv1.KeyService_DisableKeyRotation_FullMethodName, mutating, checkDisableKeyRotation, disableKeyRotation, authz.KMSDisableKeyRotation),
		rpc(kmsv1.KeyService_GetKeyRotationStatus_FullMethodName, 0, checkGetKeyRotationStatus, getKeyRotationStatus, authz.KMSGetKeyRotationStatus),
		rpc(kmsv1.KeyService_DisableKeyMaterial_FullMethodName, mutating, checkDisableKeyMaterial, disableKeyMaterial, authz.KMSDisableKeyMaterial),
		rpc(kmsv1.KeyService_EnableKeyMaterial_FullMethodName, mutating, checkEnableKeyMaterial, enableKeyMaterial, authz.KMSEnableKeyMaterial),
		rpc(kmsv1.KeyService_GetParametersForImport_FullMethodName, mutating, checkGetParametersForImport, getParametersForImport, authz.KMSGetParametersForImport),
		rpc(kmsv1.KeyService_ImportKeyMaterial_FullMethodName, mutating, checkImportKeyMaterial, importKeyMaterial, authz.KMSImportKeyMaterial),
		rpc(kmsv1.KeyService_DeleteImportedKeyMaterial_FullMethodName, mutating, checkDeleteImportedKeyMaterial, deleteImportedKeyMaterial, authz.KMSDeleteImportedKeyMaterial),
		rpc(kmsv1.KeyService_GetKeyLastUsage_FullMethodName, 0, checkGetKeyLastUsage, getKeyLastUsage, authz.KMSGetKeyLastUsage),
		rpc(kmsv1.KeyService_ListKeyPolicies_FullMethodName, 0, checkListKeyPolicies, listKeyPolicies, authz.KMSListKeyPolicies),

		rpc(iamv1.IAMService_CreateUser_FullMethodName, mutating, checkCreateUser, createUser, authz.IAMCreateUser, authz.IAMTagUser),
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

		rpc(iamv1.IAMService_UpdateUser_FullMethodName, mutating, checkUpdateUser, updateUser, authz.IAMUpdateUser),
		rpc(iamv1.IAMService_TagUser_FullMethodName, mutating, checkTagUser, tagUser, authz.IAMTagUser),
		rpc(iamv1.IAMService_UntagUser_FullMethodName, mutating, checkUntagUser, untagUser, authz.IAMUntagUser),
		rpc(iamv1.IAMService_ListUserTags_FullMethodName, 0, checkListUserTags, listUserTags, authz.IAMListUserTags),
		rpc(iamv1.IAMService_PutUserPermissionsBoundary_FullMethodName, mutating, checkPutUserPermissionsBoundary, putUserPermissionsBoundary, authz.IAMPutUserPermissionsBoundary),
		rpc(iamv1.IAMService_DeleteUserPermissionsBoundary_FullMethodName, mutating, checkDeleteUserPermissionsBoundary, deleteUserPermissionsBoundary, authz.IAMDeleteUserPermissionsBoundary),
		rpc(iamv1.IAMService_GetAccessKeyLastUsed_FullMethodName, 0, checkGetAccessKeyLastUsed, getAccessKeyLastUsed, authz.IAMGetAccessKeyLastUsed),
		rpc(iamv1.IAMService_AttachUserPolicy_FullMethodName, mutating, checkAttachUserPolicy, attachUserPolicy, authz.IAMAttachUserPolicy),
		rpc(iamv1.IAMService_DetachUserPolicy_FullMethodName, mutating, checkDetachUserPolicy, detachUserPolicy, authz.IAMDetachUserPolicy),
		rpc(iamv1.IAMService_ListAttachedUserPolicies_FullMethodName, 0, checkListAttachedUserPolicies, listAttachedUserPolicies, authz.IAMListAttachedUserPolicies),
		rpc(iamv1.IAMService_CreateGroup_FullMethodName, mutating, checkCreateGroup, createGroup, authz.IAMCreateGroup),
		rpc(iamv1.IAMService_GetGroup_FullMethodName, 0, checkGetGroup, getGroup, authz.IAMGetGroup),
		rpc(iamv1.IAMService_ListGroups_FullMethodName, 0, checkListGroups, listGroups, authz.IAMListGroups),
		rpc(iamv1.IAMService_UpdateGroup_FullMethodName, mutating, checkUpdateGroup, updateGroup, authz.IAMUpdateGroup),
		rpc(iamv1.IAMService_DeleteGroup_FullMethodName, mutating, checkDeleteGroup, deleteGroup, authz.IAMDeleteGroup),
		rpc(iamv1.IAMService_AddUserToGroup_FullMethodName, mutating, checkAddUserToGroup, addUserToGroup, authz.IAMAddUserToGroup),
		rpc(iamv1.IAMService_RemoveUserFromGroup_FullMethodName, mutating, checkRemoveUserFromGroup, removeUserFromGroup, authz.IAMRemoveUserFromGroup),
		rpc(iamv1.IAMService_ListGroupsForUser_FullMethodName, 0, checkListGroupsForUser, listGroupsForUser, authz.IAMListGroupsForUser),
		rpc(iamv1.IAMService_PutGroupPolicy_FullMethodName, mutating, checkPutGroupPolicy, putGroupPolicy, authz.IAMPutGroupPolicy),
		rpc(iamv1.IAMService_GetGroupPolicy_FullMethodName, 0, checkGetGroupPolicy, getGroupPolicy, authz.IAMGetGroupPolicy),
		rpc(iamv1.IAMService_ListGroupPolicies_FullMethodName, 0, checkListGroupPolicies, listGroupPolicies, authz.IAMListGroupPolicies),
		rpc(iamv1.IAMService_DeleteGroupPolicy_FullMethodName, mutating, checkDeleteGroupPolicy, deleteGroupPolicy, authz.IAMDeleteGroupPolicy),
		rpc(iamv1.IAMService_AttachGroupPolicy_FullMethodName, mutating, checkAttachGroupPolicy, attachGroupPolicy, authz.IAMAttachGroupPolicy),
		rpc(iamv1.IAMService_DetachGroupPolicy_FullMethodName, mutating, checkDetachGroupPolicy, detachGroupPolicy, authz.IAMDetachGroupPolicy),
		rpc(iamv1.IAMService_ListAttachedGroupPolicies_FullMethodName, 0, checkListAttachedGroupPolicies, listAttachedGroupPolicies, authz.IAMListAttachedGroupPolicies),
		rpc(iamv1.IAMService_CreatePolicy_FullMethodName, mutating, checkCreatePolicy, createPolicy, authz.IAMCreatePolicy),
		rpc(iamv1.IAMService_GetPolicy_FullMethodName, 0, checkGetPolicy, getPolicy, authz.IAMGetPolicy),
		rpc(iamv1.IAMService_ListPolicies_FullMethodName, 0, checkListPolicies, listPolicies, authz.IAMListPolicies),
		rpc(iamv1.IAMService_DeletePolicy_FullMethodName, mutating, checkDeletePolicy, deletePolicy, authz.IAMDeletePolicy),
		rpc(iamv1.IAMService_CreatePolicyVersion_FullMethodName, mutating, checkCreatePolicyVersion, createPolicyVersion, authz.IAMCreatePolicyVersion),
		rpc(iamv1.IAMService_GetPolicyVersion_FullMethodName, 0, checkGetPolicyVersion, getPolicyVersion, authz.IAMGetPolicyVersion),
		rpc(iamv1.IAMService_ListPolicyVersions_FullMethodName, 0, checkListPolicyVersions, listPolicyVersions, authz.IAMListPolicyVersions),
		rpc(iamv1.IAMService_DeletePolicyVersion_FullMethodName, mutating, checkDeletePolicyVersion, deletePolicyVersion, authz.IAMDeletePolicyVersion),
		rpc(iamv1.IAMService_SetDefaultPolicyVersion_FullMethodName, mutating, checkSetDefaultPolicyVersion, setDefaultPolicyVersion, authz.IAMSetDefaultPolicyVersion),
		rpc(iamv1.IAMService_ListEntitiesForPolicy_FullMethodName, 0, checkListEntitiesForPolicy, listEntitiesForPolicy, authz.IAMListEntitiesForPolicy),
		rpc(iamv1.IAMService_CreateRole_FullMethodName, mutating, checkCreateRole, createRole, authz.IAMCreateRole, authz.IAMTagRole),
		rpc(iamv1.IAMService_GetRole_FullMethodName, 0, checkGetRole, getRole, authz.IAMGetRole),
		rpc(iamv1.IAMService_ListRoles_FullMethodName, 0, checkListRoles, listRoles, authz.IAMListRoles),
		rpc(iamv1.IAMService_UpdateRole_FullMethodName, mutating, checkUpdateRole, updateRole, authz.IAMUpdateRole),
		rpc(iamv1.IAMService_DeleteRole_FullMethodName, mutating, checkDeleteRole, deleteRole, authz.IAMDeleteRole),
		rpc(iamv1.IAMService_UpdateAssumeRolePolicy_FullMethodName, mutating, checkUpdateAssumeRolePolicy, updateAssumeRolePolicy, authz.IAMUpdateAssumeRolePolicy),
		rpc(iamv1.IAMService_TagRole_FullMethodName, mutating, checkTagRole, tagRole, authz.IAMTagRole),
		rpc(iamv1.IAMService_UntagRole_FullMethodName, mutating, checkUntagRole, untagRole, authz.IAMUntagRole),
		rpc(iamv1.IAMService_ListRoleTags_FullMethodName, 0, checkListRoleTags, listRoleTags, authz.IAMListRoleTags),
		rpc(iamv1.IAMService_PutRolePermissionsBoundary_FullMethodName, mutating, checkPutRolePermissionsBoundary, putRolePermissionsBoundary, authz.IAMPutRolePermissionsBoundary),
		rpc(iamv1.IAMService_DeleteRolePermissionsBoundary_FullMethodName, mutating, checkDeleteRolePermissionsBoundary, deleteRolePermissionsBoundary, authz.IAMDeleteRolePermissionsBoundary),
		rpc(iamv1.IAMService_PutRolePolicy_FullMethodName, mutating, checkPutRolePolicy, putRolePolicy, authz.IAMPutRolePolicy),
		rpc(iamv1.IAMService_GetRolePolicy_FullMethodName, 0, checkGetRolePolicy, getRolePolicy, authz.IAMGetRolePolicy),
		rpc(iamv1.IAMService_ListRolePolicies_FullMethodName, 0, checkListRolePolicies, listRolePolicies, authz.IAMListRolePolicies),
		rpc(iamv1.IAMService_DeleteRolePolicy_FullMethodName, mutating, checkDeleteRolePolicy, deleteRolePolicy, authz.IAMDeleteRolePolicy),
		rpc(iamv1.IAMService_AttachRolePolicy_FullMethodName, mutating, checkAttachRolePolicy, attachRolePolicy, authz.IAMAttachRolePolicy),
		rpc(iamv1.IAMService_DetachRolePolicy_FullMethodName, mutating, checkDetachRolePolicy, detachRolePolicy, authz.IAMDetachRolePolicy),
		rpc(iamv1.IAMService_ListAttachedRolePolicies_FullMethodName, 0, checkListAttachedRolePolicies, listAttachedRolePolicies, authz.IAMListAttachedRolePolicies),
		rpc(iamv1.IAMService_CreateVirtualMFADevice_FullMethodName, mutating, checkCreateVirtualMFADevice, createVirtualMFADevice, authz.IAMCreateVirtualMFADevice),
		rpc(iamv1.IAMService_EnableMFADevice_FullMethodName, mutating, checkEnableMFADevice, enableMFADevice, authz.IAMEnableMFADevice),
		rpc(iamv1.IAMService_DeactivateMFADevice_FullMethodName, mutating, checkDeactivateMFADevice, deactivateMFADevice, authz.IAMDeactivateMFADevice),
		rpc(iamv1.IAMService_DeleteVirtualMFADevice_FullMethodName, mutating, checkDeleteVirtualMFADevice, deleteVirtualMFADevice, authz.IAMDeleteVirtualMFADevice),
		rpc(iamv1.IAMService_ListMFADevices_FullMethodName, 0, checkListMFADevices, listMFADevices, authz.IAMListMFADevices),
		rpc(iamv1.IAMService_CreateOpenIDConnectProvider_FullMethodName, mutating, checkCreateOpenIDConnectProvider, createOpenIDConnectProvider, authz.IAMCreateOpenIDConnectProvider),
		rpc(iamv1.IAMService_GetOpenIDConnectProvider_FullMethodName, 0, checkGetOpenIDConnectProvider, getOpenIDConnectProvider, authz.IAMGetOpenIDConnectProvider),
		rpc(iamv1.IAMService_ListOpenIDConnectProviders_FullMethodName, 0, checkListOpenIDConnectProviders, listOpenIDConnectProviders, authz.IAMListOpenIDConnectProviders),
		rpc(iamv1.IAMService_UpdateOpenIDConnectProviderKeys_FullMethodName, mutating, checkUpdateOpenIDConnectProviderKeys, updateOpenIDConnectProviderKeys, authz.IAMUpdateOpenIDConnectProviderKeys),
		rpc(iamv1.IAMService_AddClientIDToOpenIDConnectProvider_FullMethodName, mutating, checkAddClientID, addClientID, authz.IAMAddClientIDToOpenIDConnectProvider),
		rpc(iamv1.IAMService_RemoveClientIDFromOpenIDConnectProvider_FullMethodName, mutating, checkRemoveClientID, removeClientID, authz.IAMRemoveClientIDFromOpenIDConnectProvider),
		rpc(iamv1.IAMService_DeleteOpenIDConnectProvider_FullMethodName, mutating, checkDeleteOpenIDConnectProvider, deleteOpenIDConnectProvider, authz.IAMDeleteOpenIDConnectProvider),
		rpc(iamv1.IAMService_SimulateCustomPolicy_FullMethodName, 0, checkSimulateCustomPolicy, simulateCustomPolicy, authz.IAMSimulateCustomPolicy),
		rpc(iamv1.IAMService_SimulatePrincipalPolicy_FullMethodName, 0, checkSimulatePrincipalPolicy, simulatePrincipalPolicy, authz.IAMSimulatePrincipalPolicy),
		rpc(iamv1.IAMService_ExplainDecision_FullMethodName, 0, checkExplainDecision, explainDecision, authz.AuthzExplainDecision),

		rpc(stsv1.STSService_GetCallerIdentity_FullMethodName, 0, checkGetCallerIdentity, getCallerIdentity, authz.STSGetCallerIdentity),
		rpc(stsv1.STSService_AssumeRole_FullMethodName, 0, checkAssumeRole, assumeRole, authz.STSAssumeRole, authz.STSTagSession, authz.STSSetSourceIdentity),
		rpc(stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName, anonymous, checkAssumeRoleWithWebIdentity, assumeRoleWithWebIdentity, authz.STSAssumeRoleWithWebIdentity),
		rpc(stsv1.STSService_GetSessionToken_FullMethodName, 0, checkGetSessionToken, getSessionToken, authz.STSGetSessionToken),

		rpc(organizationsv1.OrganizationsService_DescribeOrganization_FullMethodName, 0, checkDescribeOrganization, describeOrganization, authz.OrganizationsDescribeOrganization),
		rpc(organizationsv1.OrganizationsService_CreateAccount_FullMethodName, mutating, checkCreateAccount, createAccount, authz.OrganizationsCreateAccount),
		rpc(organizationsv1.OrganizationsService_DescribeAccount_FullMethodName, 0, checkDescribeAccount, describeAccount, authz.OrganizationsDescribeAccount),
		rpc(organizationsv1.OrganizationsService_ListAccounts_FullMethodName, 0, checkListAccounts, listAccounts, authz.OrganizationsListAccounts),
		rpc(organizationsv1.OrganizationsService_CloseAccount_FullMethodName, mutating, checkCloseAccount, closeAccount, authz.OrganizationsCloseAccount),
		rpc(organizationsv1.OrganizationsService_MoveAccount_FullMethodName, mutating, checkMoveAccount, moveAccount, authz.OrganizationsMoveAccount),
		rpc(organizationsv1.OrganizationsService_ListRoots_FullMethodName, 0, checkListRoots, listRoots, authz.OrganizationsListRoots),
		rpc(organizationsv1.OrganizationsService_CreateOrganizationalUnit_FullMethodName, mutating, checkCreateOrganizationalUnit, createOrganizationalUnit, authz.OrganizationsCreateOrganizationalUnit),
		rpc(organizationsv1.OrganizationsService_DescribeOrganizationalUnit_FullMethodName, 0, checkDescribeOrganizationalUnit, describeOrganizationalUnit, authz.OrganizationsDescribeOrganizationalUnit),
		rpc(organizationsv1.OrganizationsService_UpdateOrganizationalUnit_FullMethodName, mutating, checkUpdateOrganizationalUnit, updateOrganizationalUnit, authz.OrganizationsUpdateOrganizationalUnit),
		rpc(organizationsv1.OrganizationsService_DeleteOrganizationalUnit_FullMethodName, mutating, checkDeleteOrganizationalUnit, deleteOrganizationalUnit, authz.OrganizationsDeleteOrganizationalUnit),
		rpc(organizationsv1.OrganizationsService_ListOrganizationalUnitsForParent_FullMethodName, 0, checkListOrganizationalUnitsForParent, listOrganizationalUnitsForParent, authz.OrganizationsListOrganizationalUnitsForParent),
		rpc(organizationsv1.OrganizationsService_ListAccountsForParent_FullMethodName, 0, checkListAccountsForParent, listAccountsForParent, authz.OrganizationsListAccountsForParent),
		rpc(organizationsv1.OrganizationsService_ListChildren_FullMethodName, 0, checkListChildren, listChildren, authz.OrganizationsListChildren),
		rpc(organizationsv1.OrganizationsService_ListParents_FullMethodName, 0, checkListParents, listParents, authz.OrganizationsListParents),
		rpc(organizationsv1.OrganizationsService_CreatePolicy_FullMethodName, mutating, checkCreateOrgPolicy, createOrgPolicy, authz.OrganizationsCreatePolicy),
		rpc(organizationsv1.OrganizationsService_DescribePolicy_FullMethodName, 0, checkDescribeOrgPolicy, describeOrgPolicy, authz.OrganizationsDescribePolicy),
		rpc(organizationsv1.OrganizationsService_ListPolicies_FullMethodName, 0, checkListOrgPolicies, listOrgPolicies, authz.OrganizationsListPolicies),
		rpc(organizationsv1.OrganizationsService_UpdatePolicy_FullMethodName, mutating, checkUpdateOrgPolicy, updateOrgPolicy, authz.OrganizationsUpdatePolicy),
		rpc(organizationsv1.OrganizationsService_DeletePolicy_FullMethodName, mutating, checkDeleteOrgPolicy, deleteOrgPolicy, authz.OrganizationsDeletePolicy),
		rpc(organizationsv1.OrganizationsService_AttachPolicy_FullMethodName, mutating, checkAttachOrgPolicy, attachOrgPolicy, authz.OrganizationsAttachPolicy),
		rpc(organizationsv1.OrganizationsService_DetachPolicy_FullMethodName, mutating, checkDetachOrgPolicy, detachOrgPolicy, authz.OrganizationsDetachPolicy),
		rpc(organizationsv1.OrganizationsService_ListPoliciesForTarget_FullMethodName, 0, checkListPoliciesForTarget, listPoliciesForTarget, authz.OrganizationsListPoliciesForTarget),
		rpc(organizationsv1.OrganizationsService_ListTargetsForPolicy_FullMethodName, 0, checkListTargetsForPolicy, listTargetsForPolicy, authz.OrganizationsListTargetsForPolicy),
	}
}

// unaryMethods are the methods that are no stream, by name.
func unaryMethods(rows []*method) map[string]*method {
	all := map[string]*method{}
	for _, m := range rows {
		if m.stream == nil {
			all[m.name] = m
		}
	}
	return all
}

// files are the .proto files whose services kmsd serves.
func files() []protoreflect.FileDescriptor {
	return []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto, kmsv1.File_kmsd_kms_v1_batch_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
		organizationsv1.File_kmsd_organizations_v1_organizations_service_proto,
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
				if m.stream != nil {
					desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: m.event, Handler: m.streamHandler, ServerStreams: true, ClientStreams: true})
					continue
				}
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

// streamHandler is what gRPC calls for a stream.
func (m *method) streamHandler(srv any, stream grpc.ServerStream) error {
	return m.stream(srv.(*Server), m, stream)
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
