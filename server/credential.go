package server

import (
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

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
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	k, err := people.CreateAccessKey(g, c.account(), name)
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
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.UpdateAccessKey(g, c.account(), name, r.GetAccessKeyId(), status); err != nil {
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
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.DeleteAccessKey(g, c.account(), name, r.GetAccessKeyId()); err != nil {
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
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	cert, err := people.CreateClientCertificate(g, c.account(), r.GetUserName(), []byte(r.GetCertificateSigningRequest()), time.Duration(r.GetDurationSeconds())*time.Second)
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
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.DeleteClientCertificate(g, c.account(), r.GetUserName(), fingerprint); err != nil {
		return nil, err
	}
	return &iamv1.DeleteClientCertificateResponse{}, nil
}

func checkGetAccessKeyLastUsed(v *violations, r *iamv1.GetAccessKeyLastUsedRequest) {
	v.text("access_key_id", r.GetAccessKeyId(), 1, credentialName)
}

// getAccessKeyLastUsed is asked of the user whose key it is. A key of another account is like one that is not there.
func getAccessKeyLastUsed(c *call, r *iamv1.GetAccessKeyLastUsedRequest) (*iamv1.GetAccessKeyLastUsedResponse, error) {
	c.param(audit.String("accessKeyId", r.GetAccessKeyId()))
	arn := c.people.AccessKeyUserARN(c.account(), r.GetAccessKeyId())
	resource := c.newEntity(arn)
	if who, ok := c.people.PrincipalCaller(c.account(), arn, ""); ok {
		resource.Tags = who.Tags
	}
	g, err := c.onEntity(authz.IAMGetAccessKeyLastUsed, "USER", resource, c.people.NewUserARN(c.account(), "/", ""))
	if err != nil {
		return nil, err
	}
	last, err := c.people.AccessKeyLastUsed(g, c.account(), r.GetAccessKeyId())
	if err != nil {
		return nil, err
	}
	used := iamv1.AccessKeyLastUsed_builder{ServiceName: last.Service, Region: last.Region}
	if !last.Used.IsZero() {
		used.LastUsedDate = timestamppb.New(last.Used)
	}
	return iamv1.GetAccessKeyLastUsedResponse_builder{UserName: last.UserName, AccessKeyLastUsed: used.Build()}.Build(), nil
}
