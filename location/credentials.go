package location

import (
	"fmt"
	"log/slog"
)

// AWSCredential is a credential as AWS and compatible stores take it. The zero value takes what the SDK finds in its surroundings: the environment, a web
// identity (IRSA), the instance. It is printed masked.
type AWSCredential struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	// Role is the ARN of a role that is assumed with the rest. Default none.
	Role string
}

// GoogleCredential is a credential as Google Cloud Storage takes it. The zero value takes the application default credentials: the environment, the
// workload identity. It is printed masked.
type GoogleCredential struct {
	Project string
	// JSON is a key file of a service account, or that of a user; it names no program, no other file and no server but Google's. Default none.
	JSON []byte
}

// AzureCredential is a credential as Azure Blob Storage takes it: of its parts the first that is set counts, in the order of the fields. With none, the
// identity is that of the surroundings: workload identity, managed identity. It is printed masked.
type AzureCredential struct {
	// Account is the storage account; it is always needed.
	Account string
	// Key is the account's.
	Key string
	// SAS is a shared access signature, with or without the question mark. SASFile names a file that holds one, read anew when it is used.
	SAS, SASFile string
	// TenantID, ClientID and ClientSecret are a service principal. ClientID alone chooses among several managed identities.
	TenantID, ClientID, ClientSecret string
	// Environment is the cloud, by the names of AzureEnvironments. Default AzurePublicCloud.
	Environment string
}

// String tells which credential it is.
func (c AWSCredential) String() string {
	switch {
	case c == AWSCredential{}:
		return "AWS credential of the surroundings"
	case c.AccessKeyID == "":
		return "AWS credential of the surroundings, with a role"
	default:
		return "AWS credential " + masked
	}
}

// String tells which credential it is.
func (c GoogleCredential) String() string {
	if len(c.JSON) == 0 {
		return "application default credentials of Google"
	}
	return "Google credential " + masked
}

// String tells which credential it is.
func (c AzureCredential) String() string {
	if c.Key+c.SAS+c.SASFile+c.ClientSecret == "" {
		return "Azure credential of the surroundings"
	}
	return "Azure credential " + masked
}

// Format prints String for every verb.
func (c AWSCredential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Format prints String for every verb.
func (c GoogleCredential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Format prints String for every verb.
func (c AzureCredential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue is String.
func (c AWSCredential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// LogValue is String.
func (c GoogleCredential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// LogValue is String.
func (c AzureCredential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c AWSCredential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalText is String.
func (c GoogleCredential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalText is String.
func (c AzureCredential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
