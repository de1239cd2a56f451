module sensorium.internal/clients/go

go 1.19

require (
	google.golang.org/genproto v0.0.0-20200526211855-cb27e3aa2013
	google.golang.org/grpc v1.33.3
	sensorium.internal/gen/go v0.0.0
)

replace sensorium.internal/gen/go => ../../gen/go
