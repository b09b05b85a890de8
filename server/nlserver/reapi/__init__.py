"""The Remote Execution API as values: digests, resource names, trees and actions; and the client that speaks it."""
