#pragma once

// What a model is trained to make small.

#include "nn/class_loss.hpp"
#include "nn/difference_loss.hpp"
#include "nn/probability_loss.hpp"
