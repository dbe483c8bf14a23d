module extauth.example/extauth

go 1.21
