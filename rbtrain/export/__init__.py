"""From a Keras model to a model file that rbinfer runs."""
