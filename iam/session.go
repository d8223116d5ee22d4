package iam

import "github.com/kmsd/kmsd/authz"

// sessionCaller is Caller for the credential of a session. No session is opened by this package yet, so none is valid.
func (s *Snapshot) sessionCaller(*Credential) (*authz.Caller, error) { return nil, ErrInvalidToken }
