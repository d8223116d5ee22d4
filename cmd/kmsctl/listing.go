package main

// removed is what a change of an identity or a policy is answered with: what it was about.
type removed struct {
	UserName      string `json:"user_name,omitempty"`
	GroupName     string `json:"group_name,omitempty"`
	RoleName      string `json:"role_name,omitempty"`
	AccessKeyID   string `json:"access_key_id,omitempty"`
	CertificateID string `json:"certificate_id,omitempty"`
	SerialNumber  string `json:"serial_number,omitempty"`
	PolicyName    string `json:"policy_name,omitempty"`
	PolicyARN     string `json:"policy_arn,omitempty"`
	VersionID     string `json:"version_id,omitempty"`
	ProviderARN   string `json:"open_id_connect_provider_arn,omitempty"`
	ClientID      string `json:"client_id,omitempty"`
	Status        string `json:"status,omitempty"`
}

// each makes a view of every entry.
func each[E, V any](entries []E, view func(E) V) []V {
	views := make([]V, 0, len(entries))
	for _, e := range entries {
		views = append(views, view(e))
	}
	return views
}

// listing prints entries: a row each, or an array. empty is said if there are none.
func listing[V any](a *app, entries []V, empty string, header []string, row func(V) []string) error {
	return a.emit(entries, func() view {
		v := view{header: header, empty: empty}
		for _, e := range entries {
			v.rows = append(v.rows, row(e))
		}
		return v
	})
}

// given adds a pair unless its value is empty.
func (v view) given(name, value string) view {
	if value != "" {
		v.rows = append(v.rows, []string{name, value})
	}
	return v
}
