package server

import (
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// Limits of names, which iam checks too: here they only bound what goes into ARNs and events.
const (
	maxUserName    = 64
	maxUserPolicy  = 128
	maxPath        = 512
	maxDocument    = 131072
	maxCSR         = 16 << 10
	usualItems     = 100
	largestItems   = 1000
	credentialName = 128
)

func (v *violations) userName(name string) { v.text("user_name", name, 0, maxUserName) }

func (v *violations) givenUserName(name string) { v.text("user_name", name, 1, maxUserName) }

// userName is the user that a request names; without a name, the caller itself.
func (c *call) userName(given string) string {
	switch {
	case given != "":
		return given
	case c.caller().Kind == authz.Root:
		return iam.RootName
	}
	return c.credential.UserName
}

// onUser asks for an action on a user of the caller's account, whether there is such a user or not.
func (c *call) onUser(a authz.Action, name string) (authz.Grant, error) {
	return c.onEntity(a, c.people.UserARN(c.account(), name))
}

func (c *call) onEntity(a authz.Action, arn string) (authz.Grant, error) {
	r := authz.Resource{Kind: authz.IAMEntity, Account: c.account(), ARN: arn}
	c.touched("USER", arn, r.Account, "")
	return c.allow(a, &r)
}

func userOf(u iam.User) *iamv1.User {
	return iamv1.User_builder{Path: u.Path, UserName: u.Name, UserId: u.ID, Arn: u.ARN, CreateDate: timestamppb.New(u.Created)}.Build()
}

func checkCreateUser(v *violations, r *iamv1.CreateUserRequest) {
	v.givenUserName(r.GetUserName())
	v.text("path", r.GetPath(), 0, maxPath)
}

func createUser(c *call, r *iamv1.CreateUserRequest) (*iamv1.CreateUserResponse, error) {
	path := r.GetPath()
	if path == "" {
		path = "/"
	}
	g, err := c.onEntity(authz.IAMCreateUser, c.people.NewUserARN(c.account(), path, r.GetUserName()))
	if err != nil {
		return nil, err
	}
	u, err := c.s.people.CreateUser(g, c.account(), r.GetUserName(), path)
	if err != nil {
		return nil, err
	}
	return iamv1.CreateUserResponse_builder{User: userOf(u)}.Build(), nil
}

func checkGetUser(v *violations, r *iamv1.GetUserRequest) { v.userName(r.GetUserName()) }

func getUser(c *call, r *iamv1.GetUserRequest) (*iamv1.GetUserResponse, error) {
	name := c.userName(r.GetUserName())
	if _, err := c.onUser(authz.IAMGetUser, name); err != nil {
		return nil, err
	}
	u, ok := c.people.User(c.account(), name)
	if !ok {
		return nil, iam.ErrNoSuchEntity
	}
	return iamv1.GetUserResponse_builder{User: userOf(u)}.Build(), nil
}

func checkListUsers(v *violations, r *iamv1.ListUsersRequest) {
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

func listUsers(c *call, r *iamv1.ListUsersRequest) (*iamv1.ListUsersResponse, error) {
	if _, err := c.allow(authz.IAMListUsers, nothing); err != nil {
		return nil, err
	}
	after, err := c.position(r.GetPathPrefix(), r.GetMarker())
	if err != nil {
		return nil, err
	}
	out := iamv1.ListUsersResponse_builder{}
	for size := pageSize(r.GetMaxItems(), usualItems); ; {
		page, more := c.people.Users(c.account(), after, largestItems)
		for _, u := range page {
			if !strings.HasPrefix(u.Path, r.GetPathPrefix()) {
				continue
			}
			if len(out.Users) == size {
				out.IsTruncated, out.Marker = true, c.marker(r.GetPathPrefix(), out.Users[size-1].GetUserName())
				return out.Build(), nil
			}
			out.Users = append(out.Users, userOf(u))
		}
		if !more {
			return out.Build(), nil
		}
		after = page[len(page)-1].Name
	}
}

func checkDeleteUser(v *violations, r *iamv1.DeleteUserRequest) { v.givenUserName(r.GetUserName()) }

func deleteUser(c *call, r *iamv1.DeleteUserRequest) (*iamv1.DeleteUserResponse, error) {
	g, err := c.onUser(authz.IAMDeleteUser, r.GetUserName())
	if err != nil {
		return nil, err
	}
	if err := c.s.people.DeleteUser(g, c.account(), r.GetUserName()); err != nil {
		return nil, err
	}
	return &iamv1.DeleteUserResponse{}, nil
}

var statuses = map[iam.Status]iamv1.StatusType{
	iam.Active:   iamv1.StatusType_STATUS_TYPE_ACTIVE,
	iam.Inactive: iamv1.StatusType_STATUS_TYPE_INACTIVE,
}

func checkCreateAccessKey(v *violations, r *iamv1.CreateAccessKeyRequest) {
	v.userName(r.GetUserName())
}

func createAccessKey(c *call, r *iamv1.CreateAccessKeyRequest) (*iamv1.CreateAccessKeyResponse, error) {
	name := c.userName(r.GetUserName())
	g, err := c.onUser(authz.IAMCreateAccessKey, name)
	if err != nil {
		return nil, err
	}
	k, err := c.s.people.CreateAccessKey(g, c.account(), name)
	if err != nil {
		return nil, err
	}
	c.param(audit.String("accessKeyId", k.ID))
	return iamv1.CreateAccessKeyResponse_builder{AccessKey: iamv1.AccessKey_builder{
		UserName: name, AccessKeyId: k.ID, Status: iamv1.StatusType_STATUS_TYPE_ACTIVE,
		SecretAccessKey: string(k.Secret.Expose()), CreateDate: timestamppb.New(k.Created),
	}.Build()}.Build(), nil
}

func checkListAccessKeys(v *violations, r *iamv1.ListAccessKeysRequest) { v.userName(r.GetUserName()) }

func listAccessKeys(c *call, r *iamv1.ListAccessKeysRequest) (*iamv1.ListAccessKeysResponse, error) {
	name := c.userName(r.GetUserName())
	g, err := c.onUser(authz.IAMListAccessKeys, name)
	if err != nil {
		return nil, err
	}
	keys, err := c.people.ListAccessKeys(g, c.account(), name)
	if err != nil {
		return nil, err
	}
	out := iamv1.ListAccessKeysResponse_builder{}
	for _, k := range keys {
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, iamv1.AccessKeyMetadata_builder{
			UserName: name, AccessKeyId: k.ID, Status: statuses[k.Status], CreateDate: timestamppb.New(k.Created),
		}.Build())
	}
	return out.Build(), nil
}

func checkUpdateAccessKey(v *violations, r *iamv1.UpdateAccessKeyRequest) {
	v.userName(r.GetUserName())
	v.text("access_key_id", r.GetAccessKeyId(), 1, credentialName)
	v.enum("status", int32(r.GetStatus()), int32(iamv1.StatusType_STATUS_TYPE_INACTIVE))
	if r.GetStatus() == iamv1.StatusType_STATUS_TYPE_UNSPECIFIED {
		v.add("status", "is missing")
	}
}

func updateAccessKey(c *call, r *iamv1.UpdateAccessKeyRequest) (*iamv1.UpdateAccessKeyResponse, error) {
	name, status := c.userName(r.GetUserName()), iam.Inactive
	if r.GetStatus() == iamv1.StatusType_STATUS_TYPE_ACTIVE {
		status = iam.Active
	}
	c.param(audit.String("accessKeyId", r.GetAccessKeyId()))
	c.param(audit.String("status", status.String()))
	g, err := c.onUser(authz.IAMUpdateAccessKey, name)
	if err != nil {
		return nil, err
	}
	if err := c.s.people.UpdateAccessKey(g, c.account(), name, r.GetAccessKeyId(), status); err != nil {
		return nil, err
	}
	return &iamv1.UpdateAccessKeyResponse{}, nil
}

func checkDeleteAccessKey(v *violations, r *iamv1.DeleteAccessKeyRequest) {
	v.userName(r.GetUserName())
	v.text("access_key_id", r.GetAccessKeyId(), 1, credentialName)
}

func deleteAccessKey(c *call, r *iamv1.DeleteAccessKeyRequest) (*iamv1.DeleteAccessKeyResponse, error) {
	name := c.userName(r.GetUserName())
	c.param(audit.String("accessKeyId", r.GetAccessKeyId()))
	g, err := c.onUser(authz.IAMDeleteAccessKey, name)
	if err != nil {
		return nil, err
	}
	if err := c.s.people.DeleteAccessKey(g, c.account(), name, r.GetAccessKeyId()); err != nil {
		return nil, err
	}
	return &iamv1.DeleteAccessKeyResponse{}, nil
}

func certificateOf(name string, cert iam.ClientCertificate) *iamv1.ClientCertificate {
	status := iamv1.StatusType_STATUS_TYPE_ACTIVE
	if time.Now().After(cert.NotAfter) {
		status = iamv1.StatusType_STATUS_TYPE_INACTIVE
	}
	return iamv1.ClientCertificate_builder{
		UserName: name, CertificateId: hexOf(cert.Fingerprint[:]), CertificateBody: string(cert.PEM()), Status: status,
		UploadDate: timestamppb.New(cert.Created), Expiration: timestamppb.New(cert.NotAfter),
	}.Build()
}

func checkCreateClientCertificate(v *violations, r *iamv1.CreateClientCertificateRequest) {
	v.givenUserName(r.GetUserName())
	v.text("certificate_signing_request", r.GetCertificateSigningRequest(), 1, maxCSR)
	if d := r.GetDurationSeconds(); d != 0 && (d < int64(iam.MinCertificateValidity/time.Second) || d > int64(iam.MaxCertificateValidity/time.Second)) {
		v.add("duration_seconds", "is %d, must be %d to %d, or 0 for 90 days", d, iam.MinCertificateValidity/time.Second, iam.MaxCertificateValidity/time.Second)
	}
}

func createClientCertificate(c *call, r *iamv1.CreateClientCertificateRequest) (*iamv1.CreateClientCertificateResponse, error) {
	c.param(audit.Int("durationSeconds", r.GetDurationSeconds()))
	g, err := c.onUser(authz.IAMCreateClientCertificate, r.GetUserName())
	if err != nil {
		return nil, err
	}
	cert, err := c.s.people.CreateClientCertificate(g, c.account(), r.GetUserName(), []byte(r.GetCertificateSigningRequest()), time.Duration(r.GetDurationSeconds())*time.Second)
	if err != nil {
		return nil, err
	}
	c.param(audit.String("certificateId", hexOf(cert.Fingerprint[:])))
	return iamv1.CreateClientCertificateResponse_builder{Certificate: certificateOf(r.GetUserName(), cert)}.Build(), nil
}

func checkListClientCertificates(v *violations, r *iamv1.ListClientCertificatesRequest) {
	v.userName(r.GetUserName())
}

func listClientCertificates(c *call, r *iamv1.ListClientCertificatesRequest) (*iamv1.ListClientCertificatesResponse, error) {
	name := c.userName(r.GetUserName())
	g, err := c.onUser(authz.IAMListClientCertificates, name)
	if err != nil {
		return nil, err
	}
	certs, err := c.people.ListClientCertificates(g, c.account(), name)
	if err != nil {
		return nil, err
	}
	out := iamv1.ListClientCertificatesResponse_builder{}
	for _, cert := range certs {
		out.Certificates = append(out.Certificates, certificateOf(name, cert))
	}
	return out.Build(), nil
}

func checkDeleteClientCertificate(v *violations, r *iamv1.DeleteClientCertificateRequest) {
	v.givenUserName(r.GetUserName())
	if b, err := hex.DecodeString(r.GetCertificateId()); err != nil || len(b) != 32 {
		v.add("certificate_id", "must be 64 hexadecimal digits")
	}
}

func deleteClientCertificate(c *call, r *iamv1.DeleteClientCertificateRequest) (*iamv1.DeleteClientCertificateResponse, error) {
	c.param(audit.String("certificateId", r.GetCertificateId()))
	g, err := c.onUser(authz.IAMDeleteClientCertificate, r.GetUserName())
	if err != nil {
		return nil, err
	}
	var fingerprint [32]byte
	if _, err := hex.Decode(fingerprint[:], []byte(r.GetCertificateId())); err != nil {
		return nil, err
	}
	if err := c.s.people.DeleteClientCertificate(g, c.account(), r.GetUserName(), fingerprint); err != nil {
		return nil, err
	}
	return &iamv1.DeleteClientCertificateResponse{}, nil
}

func (v *violations) userPolicy(user, policy string) {
	v.givenUserName(user)
	v.text("policy_name", policy, 1, maxUserPolicy)
}

func checkPutUserPolicy(v *violations, r *iamv1.PutUserPolicyRequest) {
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
	v.text("policy_document", r.GetPolicyDocument(), 1, maxDocument)
}

func putUserPolicy(c *call, r *iamv1.PutUserPolicyRequest) (*iamv1.PutUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	c.notePolicy(r.GetPolicyDocument())
	g, err := c.onUser(authz.IAMPutUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	if err := c.s.people.PutUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName(), r.GetPolicyDocument()); err != nil {
		return nil, err
	}
	return &iamv1.PutUserPolicyResponse{}, nil
}

func checkGetUserPolicy(v *violations, r *iamv1.GetUserPolicyRequest) {
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
}

func getUserPolicy(c *call, r *iamv1.GetUserPolicyRequest) (*iamv1.GetUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onUser(authz.IAMGetUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	document, err := c.people.UserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName())
	if err != nil {
		return nil, err
	}
	return iamv1.GetUserPolicyResponse_builder{UserName: r.GetUserName(), PolicyName: r.GetPolicyName(), PolicyDocument: document}.Build(), nil
}

func checkListUserPolicies(v *violations, r *iamv1.ListUserPoliciesRequest) {
	v.givenUserName(r.GetUserName())
}

func listUserPolicies(c *call, r *iamv1.ListUserPoliciesRequest) (*iamv1.ListUserPoliciesResponse, error) {
	g, err := c.onUser(authz.IAMListUserPolicies, r.GetUserName())
	if err != nil {
		return nil, err
	}
	names, err := c.people.ListUserPolicies(g, c.account(), r.GetUserName())
	if err != nil {
		return nil, err
	}
	return iamv1.ListUserPoliciesResponse_builder{PolicyNames: names}.Build(), nil
}

func checkDeleteUserPolicy(v *violations, r *iamv1.DeleteUserPolicyRequest) {
	v.userPolicy(r.GetUserName(), r.GetPolicyName())
}

func deleteUserPolicy(c *call, r *iamv1.DeleteUserPolicyRequest) (*iamv1.DeleteUserPolicyResponse, error) {
	c.param(audit.String("policyName", r.GetPolicyName()))
	g, err := c.onUser(authz.IAMDeleteUserPolicy, r.GetUserName())
	if err != nil {
		return nil, err
	}
	if err := c.s.people.DeleteUserPolicy(g, c.account(), r.GetUserName(), r.GetPolicyName()); err != nil {
		return nil, err
	}
	return &iamv1.DeleteUserPolicyResponse{}, nil
}

func checkGetCallerIdentity(*violations, *stsv1.GetCallerIdentityRequest) {}

func getCallerIdentity(c *call, _ *stsv1.GetCallerIdentityRequest) (*stsv1.GetCallerIdentityResponse, error) {
	if _, err := c.allow(authz.STSGetCallerIdentity, nothing); err != nil {
		return nil, err
	}
	who := c.caller()
	return stsv1.GetCallerIdentityResponse_builder{UserId: who.ID, Account: who.Account, Arn: who.ARN}.Build(), nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
