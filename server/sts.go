package server

import (
	"github.com/kmsd/kmsd/authz"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

func checkGetCallerIdentity(*violations, *stsv1.GetCallerIdentityRequest) {}

func getCallerIdentity(c *call, _ *stsv1.GetCallerIdentityRequest) (*stsv1.GetCallerIdentityResponse, error) {
	if _, err := c.allow(authz.STSGetCallerIdentity, nothing); err != nil {
		return nil, err
	}
	who := c.caller()
	id := who.ID
	if who.Kind == authz.RoleSession {
		id += ":" + who.SessionName
	}
	return stsv1.GetCallerIdentityResponse_builder{UserId: id, Account: who.Account, Arn: who.ARN}.Build(), nil
}
