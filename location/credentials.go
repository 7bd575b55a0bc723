package location

// AWSCredential is a credential as AWS and compatible stores take it. The zero value takes what the SDK finds in its surroundings: the environment, a web
// identity (IRSA), the instance.
type AWSCredential struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	// Role is the ARN of a role that is assumed with the rest. Default none.
	Role string
}

// GoogleCredential is a credential as Google Cloud Storage takes it. The zero value takes the application default credentials: the environment, the
// workload identity.
type GoogleCredential struct {
	Project string
	// JSON is a key file of a service account.
	JSON []byte
}

// AzureCredential is a credential as Azure Blob Storage takes it: of its parts the first that is set counts, in the order of the fields. With none, the
// identity is that of the surroundings: workload identity, managed identity.
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
