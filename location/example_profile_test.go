package location_test

import (
	"fmt"

	"github.com/davit-project/davit/location"
)

func ExampleParseURL() {
	loc, err := location.ParseURL("s3://backups/site-a?endpoint=https://s3.example.com&region=eu-1")
	fmt.Println(loc, err)

	_, err = location.ParseURL("s3://id:hush@backups")
	fmt.Println(err)
	// Output:
	// s3Compliant location "backups", prefix "site-a", endpoint "https://s3.example.com", region "eu-1" <nil>
	// invalid profile: the URL of the location holds a user: a credential does not belong there, where others read it; leave it to the surroundings or write a profile
}

func ExampleLocation_Validate() {
	loc := &location.Location{Type: location.TypeS3, Bucket: "s3://backups/site-a"}
	fmt.Println(loc.Validate())
	// Output:
	// invalid profile: the bucket of the s3Compliant location is "s3://backups/site-a": write the bucket "backups" and the prefix "site-a"
}

func ExampleLocation_Profile() {
	loc := &location.Location{Type: location.TypeAzure, Bucket: "backups", Credential: location.NewAzure(location.AzureCredential{Account: "shop", SAS: "sv=1&sig=hush"})}
	profile, err := loc.Profile() // for the agent in a pod; it holds the credential
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := location.ParseProfile(profile)
	fmt.Println(again, err)
	fmt.Println(again.Credential)

	credential, err := again.Azure()
	fmt.Println(credential.Account, credential, err)
	// Output:
	// azure location "backups" <nil>
	// secret [masked]
	// shop Azure credential [masked] <nil>
}
